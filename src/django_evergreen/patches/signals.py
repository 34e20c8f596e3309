"""
Signals: ``asend()`` calls sync receivers in the bridge.

For Django 5.2 to 6.1. So receivers query in the transaction and on the
connection of the sender, instead of in a thread.

``request_started`` and ``request_finished`` belong to no transaction, and their
receivers may do anything, so they keep the thread of the request unless all are
Django's own. Those run there too if the request has used its thread: it waits
then for what the request has left running in it, and closes its connections.

From Django 6.1 on, async receivers run in tasks that share one context. What one
of them sets is seen by the others, which must not be so with the ``atomic()``
block that it's in: each has its own at each of its steps.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Coroutine, Generator, Mapping
from typing import Any

from asgiref.sync import SyncToAsync
from django.core.signals import request_finished, request_started

from .._placing import runs_on_loop
from ..conf import Options, options
from ..db._transactions import Block, swap_blocks
from ._call_sites import call_sites
from ._patch import Patch


def _make_run_parallel(original: Any) -> Any:
    @functools.wraps(original)
    async def _run_parallel(*coroutines: Coroutine[Any, Any, Any]) -> Any:
        blocks = swap_blocks({})
        swap_blocks(blocks)
        return await original(*(_in_blocks(blocks, c) for c in coroutines))

    return _run_parallel


@types.coroutine
def _in_blocks(
    blocks: Mapping[str, Block], coroutine: Coroutine[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    step, argument = coroutine.send, None
    while True:
        shared = swap_blocks(blocks)
        try:
            yielded = step(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            blocks = swap_blocks(shared)
        try:
            step, argument = coroutine.send, (yield yielded)
        except BaseException as error:
            step, argument = coroutine.throw, error


def _sends_without_thread(sync_send: Any) -> bool:
    """
    Return whether the function that calls a signal's sync receivers may do so in
    the bridge. It's nested in ``asend()``, whose variables tell.
    """
    names, cells = sync_send.__code__.co_freevars, sync_send.__closure__
    signal = cells[names.index("self")].cell_contents
    if signal is not request_started and signal is not request_finished:
        return True
    receivers = cells[names.index("sync_receivers")].cell_contents
    return not _has_thread() and all(map(runs_on_loop, receivers))


def need_no_thread(signal: Any, sender: Any) -> bool:
    """
    Return whether the sync receivers of ``request_started`` or ``request_finished`` may
    run in the bridge.
    """
    if _has_thread():
        return False
    found = _found.get((signal, sender))
    if found is None or found[0] != signal.receivers or found[1] is not options():
        # Before the look at them, as another thread may connect one meanwhile.
        known = signal.receivers.copy(), options()
        receivers, _ = signal._live_receivers(sender)
        found = _found[signal, sender] = *known, all(map(runs_on_loop, receivers))
    return found[2]


# By signal and sender: the receivers, with the settings, and whether all run on the
# loop. Asked twice with each request; the senders are classes of handlers.
_found: dict[Any, tuple[list[Any], Options, bool]] = {}


def _has_thread() -> bool:
    context = SyncToAsync.thread_sensitive_context.get(None)
    return context in SyncToAsync.context_to_thread_executor if context else False


PATCHES = [
    call_sites("django.dispatch.dispatcher", _sends_without_thread),
    Patch(
        "django.dispatch.dispatcher", "_run_parallel", _make_run_parallel, since=(6, 1)
    ),
]
