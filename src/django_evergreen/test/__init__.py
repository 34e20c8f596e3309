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
from ._clients import AsyncClient, Client
from ._deadline import TestTimeout
from ._leftovers import Leftover
from ._owners import WorkOfEndedTest
from ._report import LeftoversFound

__all__ = [
    "AsyncClient",
    "AsyncDatabaseTeardownTestCase",
    "AsyncSimpleTestCase",
    "AsyncTestCase",
    "AsyncTestMixin",
    "AsyncTransactionTestCase",
    "Client",
    "Leftover",
    "LeftoversFound",
    "TestTimeout",
    "WorkOfEndedTest",
]

for _public in (
    AsyncClient,
    AsyncDatabaseTeardownTestCase,
    AsyncSimpleTestCase,
    AsyncTestCase,
    AsyncTestMixin,
    AsyncTransactionTestCase,
    Client,
    Leftover,
):
    _public.__module__ = __name__
