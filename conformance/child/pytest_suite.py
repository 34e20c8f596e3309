"""
Runs a suite by pytest: ``python -m conformance.child.pytest_suite``.

It takes the arguments of pytest.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from typing import Any

import pytest

from .. import modes
from .._environment import Environment
from .._records import Outcome, Writer
from .recorder import MAX_TEXT
from .session import run_session
from .third_party_settings import install

OPTIONS = [
    # Not what is above: it has a configuration of pytest as well.
    "--rootdir=.",
    "--continue-on-collection-errors",
    # Only the plugins that the suite needs: others change the order, or log.
    "--disable-plugin-autoload",
    *("-p", "no:cacheprovider"),
    *("-p", "pytest_django.plugin"),
]


class PytestRecorder:
    """
    A plugin that writes how each test ended.
    """

    def __init__(self, writer: Writer, share: int) -> None:
        self._writer = writer
        self._share = share
        self._started = 0.0
        self._outcome = Outcome("passed")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        classes = dict.fromkeys(_class(item) for item in items)
        taken = set(list(classes)[:: self._share])
        items[:] = [item for item in items if _class(item) in taken]
        self._writer.total(len(items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._writer.outcome(report.nodeid, Outcome("skipped", _reason(report)))

    def pytest_exception_interact(self, report: Any) -> None:
        if isinstance(report, pytest.CollectReport):
            # Of a module that can't be imported, it's always a CollectError.
            text = report.longreprtext
            outcome = Outcome("error", text.splitlines()[-1], text[-MAX_TEXT:])
            self._writer.outcome(report.nodeid, outcome)

    def pytest_runtest_logstart(self) -> None:
        self._started = time.perf_counter()
        self._outcome = Outcome("passed")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        outcome = _of_report(report, call)
        # The first error is what the others come from.
        if outcome and self._outcome.status in ("passed", "skipped"):
            self._outcome = outcome
        return report

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        outcome = self._outcome
        seconds = round(time.perf_counter() - self._started, 3)
        outcome = Outcome(outcome.status, outcome.detail, outcome.text, seconds)
        self._writer.outcome(nodeid, outcome)


def _of_report(report: pytest.TestReport, call: Any) -> Outcome | None:
    """
    Return what a phase of a test, or a subtest, adds to its outcome.
    """
    if hasattr(report, "wasxfail"):
        return Outcome("expected failure" if report.skipped else "unexpected success")
    if report.skipped:
        return Outcome("skipped", _reason(report))
    if report.failed:
        return _of_error("failed" if report.when == "call" else "error", report, call)
    return None


def _of_error(status: str, report: Any, call: Any) -> Outcome:
    # Without an exception, it's a strict xfail that passed.
    detail = call.excinfo.type.__qualname__ if call.excinfo else "unexpected success"
    return Outcome(status, detail, report.longreprtext[-MAX_TEXT:])


def _reason(report: Any) -> str:
    _, _, reason = report.longrepr
    return str(reason.removeprefix("Skipped: "))


def _class(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0].rpartition("::")[0]


def run(writer: Writer) -> None:
    environment = Environment.read()
    install(environment)
    if modes.load(environment.mode).is_ours:
        from . import third_party_asyncio

        third_party_asyncio.install()
    recorder = PytestRecorder(writer, int(environment.share))
    pytest.main([*OPTIONS, *sys.argv[1:]], plugins=[recorder])


if __name__ == "__main__":
    run_session(run)
