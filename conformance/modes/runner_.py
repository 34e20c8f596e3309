"""
Django's async tests, and those of its test tools, by this package's test runner.

The runner gives the test classes that have an async test an event loop which is kept;
all others run as ever.
"""

from __future__ import annotations

from typing import Any

from . import Mode, async_

# Those of Django's own tools for tests.
MODULES = ("test_client", "test_client_regress", "test_exceptions", "test_runner")
MODULES += ("test_runner_apps", "test_utils")


def selects(test: Any) -> bool:
    return async_.selects(test) or type(test).__module__.startswith(MODULES)


MODE = Mode(
    title="async tests and test tools, by our test runner",
    runner="django_evergreen.test.runner.DiscoverRunner",
    selects=selects,
)
