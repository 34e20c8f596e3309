"""
Blocking calls, moved to a thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ._loops import current_hub, running_loop
from ._switch import await_, in_bridge

P = ParamSpec("P")
T = TypeVar("T")


def offload(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """
    Run a blocking function in a thread, and suspend until it returns.

    For sync code in the bridge that has to block: a call of a C library, a
    large file, an HTTP client without asyncio. The function sees the caller's
    contextvars. Where no event loop is running, it is simply called.

    Suspends: yes, in the bridge. Runs in: a thread of the loop's default
    executor. On cancellation: raises ``CancelledError`` at once; a thread
    can't be stopped, so ``fn`` runs on, and its result is dropped.
    """
    if not in_bridge() and running_loop() is None:
        return fn(*args, **kwargs)
    return await_(_in_thread(functools.partial(fn, *args, **kwargs)))


async def _in_thread(fn: Callable[[], T]) -> T:
    return await current_hub().run_in_thread(fn)  # type: ignore[no-any-return]
