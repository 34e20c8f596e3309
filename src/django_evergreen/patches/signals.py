"""
Signals: ``asend()`` calls sync receivers in the bridge.

For Django 5.2 to 6.1. So receivers query in the transaction and on the
connection of the sender, instead of in a thread.

From Django 6.1 on, async receivers run in tasks that share one context. What one
of them sets is seen by the others, which must not be so with the ``atomic()``
block that it's in: each has its own at each of its steps.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Coroutine, Generator, Mapping
from typing import Any

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


PATCHES = [
    call_sites("django.dispatch.dispatcher"),
    Patch(
        "django.dispatch.dispatcher", "_run_parallel", _make_run_parallel, since=(6, 1)
    ),
]
