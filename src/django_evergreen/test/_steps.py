"""
A coroutine whose steps run in a context of its own, and which can be left behind.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any

# Coroutines that could not be ended. They are never resumed, nor finalized, as their
# ``finally`` blocks would run in the middle of something else.
_buried: list[Any] = []


class Abandoned(BaseException):
    """
    Raised to who waits for a coroutine that is left behind.
    """


def bury(coroutine: Any) -> None:
    """
    Keep something that is suspended from being resumed or collected.
    """
    _buried.append(coroutine)


class Steps:
    """
    Drives a coroutine in the task that awaits it.

    asyncio gives a task one context; with this, one task can run each test in a
    context of its own. ``None`` is the context of the task.
    """

    __slots__ = ("_context", "_coroutine", "is_abandoned")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], context: Context | None = None
    ) -> None:
        self._coroutine = coroutine
        self._context = context
        # Set together with a cancellation of the task, which is not passed on.
        self.is_abandoned = False

    def __await__(self) -> Generator[Any, Any, Any]:
        return _drive(self)


def _drive(steps: Steps) -> Generator[Any, Any, Any]:
    coroutine, context = steps._coroutine, steps._context
    step, argument = coroutine.send, None
    while True:
        try:
            yielded = step(argument) if context is None else context.run(step, argument)
        except StopIteration as stop:
            return stop.value
        try:
            argument = yield yielded
            step = coroutine.send
        except BaseException as error:
            if steps.is_abandoned:
                bury(coroutine)
                raise Abandoned from None
            step, argument = coroutine.throw, error
