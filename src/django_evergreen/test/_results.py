"""
Leftovers as data: what the result of a run has about them.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.test.runner import RemoteTestResult, RemoteTestRunner

from ..bridge import in_bridge
from ._ledger import close_connections_of_ended_threads, running
from ._leftovers import Leftover
from ._report import describe

logger = logging.getLogger("django_evergreen.test")


class Waiting:
    """
    The wait for what a test has left over, in the list of the slowest tests.
    """

    def __init__(self, test: Any) -> None:
        self._test = test

    def __str__(self) -> str:
        return f"waiting for leftovers of {self._test}"


class _WithLedger:
    """
    Takes part in a result class: tells the ledger of connections about each test.
    """

    def startTest(self, test: Any) -> None:
        running[:] = [test.id()]
        super().startTest(test)  # type: ignore[misc]

    def stopTest(self, test: Any) -> None:
        close_connections_of_ended_threads()
        super().stopTest(test)  # type: ignore[misc]
        running.clear()


class LeftoversResult(_WithLedger):
    """
    Takes part in a result class: notes what the tests have left over.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Ids of tests, and what they have left over. Of a class: "tearDownClass (...)".
        self.leftovers: list[tuple[str, Leftover]] = []

    def addLeftovers(self, test: Any, leftovers: Sequence[Leftover]) -> None:
        """
        Called when the end of a test has found something.
        """
        self.addLeftoversOf(test, test.id(), leftovers)

    def addLeftoversOf(
        self, test: Any, test_id: str, leftovers: Sequence[Leftover]
    ) -> None:
        """
        Same as :meth:`addLeftovers`, also for a class, in another process perhaps.
        """
        for leftover in leftovers:
            self.leftovers.append((test_id, leftover))
            logger.info(
                "Left over by %s:\n%s",
                test_id,
                describe(leftover),
                extra={"evergreen_test": test_id, "evergreen_leftover": leftover},
            )

    def addWaiting(self, test: Any, seconds: float) -> None:
        """
        Called after a wait for what a test has left over.
        """
        if sys.version_info >= (3, 12):
            self.addDuration(Waiting(test), seconds)  # type: ignore[attr-defined]


class DebugSQL:
    """
    Takes part in Django's result class of --debug-sql, which has set what is logged
    for the main thread only.
    """

    def startTest(self, test: Any) -> None:
        super().startTest(test)  # type: ignore[misc]
        if in_bridge():
            for connection in connections.all():
                connection.force_debug_cursor = True


@functools.cache
def noting_leftovers(resultclass: Any, *mixins: type) -> Any:
    """
    Return a result class that notes leftovers besides what it does.
    """
    if issubclass(resultclass, LeftoversResult):
        return resultclass
    name = resultclass.__name__
    return type(name, (*mixins, LeftoversResult, resultclass), {})


class RemoteResult(_WithLedger, RemoteTestResult):
    """
    The same for a worker of --parallel: tells the result of the whole run.
    """

    def addLeftovers(self, test: Any, leftovers: Sequence[Leftover]) -> None:
        event = ("addLeftoversOf", self.test_index, test.id(), list(leftovers))
        self.events.append(event)

    def addWaiting(self, test: Any, seconds: float) -> None:
        self.events.append(("addWaiting", self.test_index, seconds))


class RemoteRunner(RemoteTestRunner):
    resultclass = RemoteResult
