"""
Coroutines that run inside the bridge, so that sync code in them may suspend.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import Any, ParamSpec, TypeVar

from ._switch import await_, run_sync

P = ParamSpec("P")
T = TypeVar("T")


class _Yielded:
    """
    What a coroutine yielded to its event loop, as an awaitable.
    """

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self._value)


def portal(
    fn: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """
    Decorate a coroutine function: sync code in it suspends instead of failing.

    So ``book.author``, ``for book in Book.objects.all()`` and a template that
    follows relations work in it without ``await``. Opt in where you know that
    each such line is a place where other tasks run.

    Suspends: wherever the coroutine or sync code in it waits. Runs in: the
    calling task. On cancellation: ``CancelledError`` at the place of the wait.
    """
    if not inspect.iscoroutinefunction(fn):
        msg = (
            f"@portal needs a coroutine function, and {fn!r} is none. Write it as "
            "`async def`; sync functions enter the bridge by `await run_sync(fn)`."
        )
        raise TypeError(msg)

    @functools.wraps(fn)
    async def in_portal(*args: P.args, **kwargs: P.kwargs) -> T:
        return await run_sync(_step_through, fn(*args, **kwargs))

    return in_portal


def _step_through(coroutine: Coroutine[Any, Any, T]) -> T:
    """
    Run a coroutine to its end, here, passing on what it yields.
    """
    step, argument = coroutine.send, None
    while True:
        try:
            yielded = step(argument)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            step, argument = coroutine.send, await_(_Yielded(yielded))
        except BaseException as error:
            step, argument = coroutine.throw, error
