"""
Counts how often a coroutine is suspended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, ClassVar


class Counted:
    """
    Awaits what it's given, and counts what that waits for.
    """

    # Of all of them.
    suspensions: ClassVar[int] = 0

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._awaitable.__await__()
        resume, value = inner.send, None
        while True:
            try:
                waits_for = resume(value)
            except StopIteration as end:
                return end.value
            Counted.suspensions += 1
            try:
                resume, value = inner.send, (yield waits_for)
            except BaseException as error:
                resume, value = inner.throw, error
