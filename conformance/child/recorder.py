"""
A result of unittest that writes how each test ended.
"""

from __future__ import annotations

import time
import traceback
import unittest
from typing import Any, ClassVar

from .._records import Outcome, Writer

# Of a traceback.
MAX_TEXT = 8000


class Recorder(unittest.TextTestResult):
    writer: ClassVar[Writer]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._started: dict[int, float] = {}
        self._outcomes: dict[int, Outcome] = {}

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self._started[id(test)] = time.perf_counter()
        self._outcomes[id(test)] = Outcome("passed")

    def stopTest(self, test: Any) -> None:
        super().stopTest(test)
        outcome = self._outcomes.pop(id(test), None)
        if outcome is None:
            # Python 3.12.1 doesn't start the tests that a decorator skips.
            return
        seconds = round(time.perf_counter() - self._started.pop(id(test)), 3)
        self._write(test, outcome, seconds)

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._note(test, _of_error("error", err))

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, _of_error("failed", err))

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            is_failure = issubclass(err[0], test.failureException)
            self._note(test, _of_error("failed" if is_failure else "error", err))

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        test = getattr(test, "test_case", test)  # of a subtest
        self._note(test, Outcome("skipped", reason))

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, Outcome("expected failure"))

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self._note(test, Outcome("unexpected success"))

    def _note(self, test: Any, outcome: Outcome) -> None:
        if id(test) not in self._outcomes:
            # What stands for the fixtures of a class or module.
            self._write(test, outcome, 0.0)
        elif self._outcomes[id(test)].status in ("passed", "skipped"):
            # The first error is what the others come from.
            self._outcomes[id(test)] = outcome

    def _write(self, test: Any, outcome: Outcome, seconds: float) -> None:
        outcome = Outcome(outcome.status, outcome.detail, outcome.text, seconds)
        self.writer.outcome(test.id(), outcome)


def _of_error(status: str, err: Any) -> Outcome:
    text = "".join(traceback.format_exception(*err))
    return Outcome(status, err[0].__qualname__, text[-MAX_TEXT:])
