"""
How code of the user is broken off: by a time-out, or by Ctrl-C.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ._alarm import Alarm
from ._other_loops import explain
from ._steps import Abandoned, Steps

# Seconds that what was cancelled may take to end, unless a test tells otherwise.
CANCEL_TIMEOUT = 2.0


class TestTimeout(AssertionError):
    """
    A test has taken longer than its ``test_timeout``.
    """

    __module__ = "django_evergreen.test"
    __test__ = False


class Deadline:
    """
    Cancels the engine's task after ``timeout`` seconds, and leaves the coroutine
    behind that it waits for if that doesn't help.
    """

    def __init__(
        self,
        timeout: float | None,
        cancel_timeout: float = CANCEL_TIMEOUT,
        describe: Any = None,
    ) -> None:
        self.timeout = timeout
        self._cancel_timeout = cancel_timeout
        # Returns the text about what was running.
        self._describe = describe
        self._timer: Any = None
        self._alarm: Alarm | None = None
        self._report = ""
        # Why it was broken off, if it was not the time.
        self._reason = ""
        self._cancelled = 0

    def begin(self, task: asyncio.Task[Any], steps: Steps | None) -> None:
        self._task, self._steps = task, steps
        if self.timeout is not None:
            loop = task.get_loop()
            self._timer = loop.call_later(self.timeout, self._expire)
            # If the loop isn't blocked, it's over by then.
            seconds = self.timeout + 2 * self._cancel_timeout + 1.0
            self._alarm = Alarm(seconds, self._interrupt)

    def _interrupt(self) -> None:
        """
        Break off, by raising here, what has blocked the loop.
        """
        msg = (
            f"The test took longer than {self.timeout:g} s. It was broken off here, as "
            "this blocks the event loop."
        )
        raise TestTimeout(msg)

    def _expire(self) -> None:
        self._report = self._describe() if self._describe else ""
        self._report = self._report or " "
        self.break_off()

    def break_off(self, reason: str = "") -> None:
        """
        Cancel what is being waited for; then leave it behind.
        """
        self._reason = reason
        self._cancel()
        if self._steps is not None:
            self._set_timer(self._abandon)

    def _abandon(self) -> None:
        assert self._steps is not None
        self._steps.is_abandoned = True
        self._cancel()

    def _cancel(self) -> None:
        self._cancelled += 1
        self._task.cancel()

    def _set_timer(self, fn: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._task.get_loop().call_later(self._cancel_timeout, fn)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._alarm is not None:
            self._alarm.clear()
        for _ in range(self._cancelled):
            self._task.uncancel()
        if self._report and (error is None or not isinstance(error, Exception)):
            msg = f"The test took longer than {self.timeout:g} s.{self._report}"
            raise TestTimeout(msg.rstrip()) from None
        if isinstance(error, BaseException):
            explain(error)
            if self._reason:
                error.add_note(self._reason)
        if isinstance(error, Abandoned):
            msg = "It was interrupted, but didn't end."
            raise asyncio.CancelledError(msg) from None
