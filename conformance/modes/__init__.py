"""
How a suite is run: one file for each mode.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NAMES = ("stock", "plain", "bridge", "async", "runner", "requests")


def run_here(run: Callable[[], Any]) -> Any:
    return run()


def run_at_once(suite: Any, run: Callable[[Any], Any]) -> Any:
    return run(suite)


@dataclass(frozen=True, kw_only=True)
class Mode:
    # What it shows, for the table.
    title: str
    # Whether with this package's engine and app.
    is_ours: bool = True
    # The test runner, for suites that take Django's.
    runner: str = "django.test.runner.DiscoverRunner"
    # Runs the whole of a test session and returns what that returns.
    around_session: Callable[[Callable[[], Any]], Any] = run_here
    # Runs the tests that are in a unittest suite.
    around_suite: Callable[[Any, Callable[[Any], Any]], Any] = run_at_once
    # Whether a test is about this mode.
    selects: Callable[[Any], bool] = lambda test: True
    # Returns how often tests were suspended, where that must have happened.
    waits: Callable[[], int] | None = None
    # Returns how many requests were served, where there must have been some.
    requests: Callable[[], int] | None = None


def load(name: str) -> Mode:
    # "async" is no name for a module that is to be imported by a statement.
    mode: Mode = importlib.import_module(f"{__name__}.{name}_").MODE
    return mode
