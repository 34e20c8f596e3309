"""
``on_commit()`` with coroutine functions.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.db import DEFAULT_DB_ALIAS, connections

from ..bridge import in_bridge, run_sync
from ..bridge._loops import running_loop
from ..exceptions import NotInBridge
from ._errands import current_errand, current_thread

Hook = Callable[[], object] | Callable[[], Awaitable[object]]


def as_commit_hook(fn: Any) -> Any:
    """
    Return what Django can call: it awaits ``fn`` if that is a coroutine function.
    """
    if not iscoroutinefunction(fn):
        return fn if current_errand() is None else _in_thread(fn)

    @functools.wraps(_named(fn))
    def run_hook() -> None:
        if running_loop() is not None and not in_bridge():
            _refuse(fn)
        # In the bridge, where tasks run their hooks, it awaits on the same loop.
        async_to_sync(fn)()

    run_hook.given = fn  # type: ignore[attr-defined]
    return run_hook


def _in_thread(fn: Any) -> Any:
    """
    Return a hook for a function that comes from a thread, as it may block.
    """
    thread = current_thread.get()
    assert thread is not None

    @functools.wraps(_named(fn))
    def run_hook() -> None:
        if in_bridge():
            thread.perform(fn)
        else:
            fn()

    run_hook.given = fn  # type: ignore[attr-defined]
    return run_hook


def as_given(hook: Any) -> Any:
    """
    Return what :func:`as_commit_hook` was called with.
    """
    return getattr(hook, "given", hook)


def _named(fn: Any) -> Any:
    """
    Return the function that has a name to show.
    """
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def _refuse(fn: Any) -> None:
    name = getattr(_named(fn), "__qualname__", fn)
    msg = (
        f"on_commit() can't wait for the coroutine function {name!r} here: it was "
        "called outside a transaction, in async code. Use `await aon_commit(...)` "
        "from django_evergreen.db."
    )
    raise NotInBridge(msg)


async def aon_commit(fn: Hook, using: str | None = None, robust: bool = False) -> None:
    """
    Same as ``transaction.on_commit()``, but outside a transaction ``fn`` is called
    at once, and awaited if it's a coroutine function.

    Suspends: outside a transaction, while ``fn`` does. Runs in: the calling task.
    """
    connection = connections[DEFAULT_DB_ALIAS if using is None else using]
    await run_sync(connection.on_commit, fn, robust)
