"""
Django's async tests, natively: each class in the bridge, on a loop of its own.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from itertools import groupby
from typing import Any
from unittest import TestSuite

from django_evergreen.bridge import run_sync

from . import Mode
from ._counted import Counted

# Where all tests are taken, as code that they call is async.
MODULES = (
    "asgi",
    "async",
    "auth_tests",
    "cache",
    "handlers",
    "middleware",
    "sessions_tests",
    "signals",
    "test_client",
    "view_tests",
)


def selects(test: Any) -> bool:
    if type(test).__module__.startswith(MODULES):
        return True
    method = getattr(test, getattr(test, "_testMethodName", ""), None)
    # Through decorators, Django's too, which keep what they wrap.
    return inspect.iscoroutinefunction(inspect.unwrap(method)) if method else False


def around_suite(suite: Any, run: Callable[[Any], Any]) -> Any:
    """
    Run each class by itself, as the fixtures of a class belong to its loop.
    """
    result = None
    for _, tests in groupby(suite, type):
        result = asyncio.run(_run(TestSuite(tests), run))
    return result


async def _run(suite: Any, run: Callable[[Any], Any]) -> Any:
    return await Counted(run_sync(run, suite))


MODE = Mode(
    title="async tests, each class on an event loop of its own",
    around_suite=around_suite,
    selects=selects,
    waits=lambda: Counted.suspensions,
)
