"""
Tests of async Django code, after which nothing is left behind.
"""

from __future__ import annotations

from ._cases import (
    AsyncDatabaseTeardownTestCase,
    AsyncSimpleTestCase,
    AsyncTestCase,
    AsyncTestMixin,
    AsyncTransactionTestCase,
)
from ._deadline import TestTimeout
from ._leftovers import Leftover
from ._owners import WorkOfEndedTest
from ._report import LeftoversFound

__all__ = [
    "AsyncDatabaseTeardownTestCase",
    "AsyncSimpleTestCase",
    "AsyncTestCase",
    "AsyncTestMixin",
    "AsyncTransactionTestCase",
    "Leftover",
    "LeftoversFound",
    "TestTimeout",
    "WorkOfEndedTest",
]

for _public in (
    AsyncDatabaseTeardownTestCase,
    AsyncSimpleTestCase,
    AsyncTestCase,
    AsyncTestMixin,
    AsyncTransactionTestCase,
    Leftover,
):
    _public.__module__ = __name__
