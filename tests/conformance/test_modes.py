"""
The modes: each runs what it's given, as it says.
"""

from __future__ import annotations

import asyncio
import threading
import unittest

import pytest
from conformance import modes
from conformance.child.share import take_share
from conformance.modes._counted import Counted

from django_evergreen.bridge import await_, in_bridge


@pytest.mark.parametrize("name", modes.NAMES)
def test_mode_returns_what_the_session_does(name):
    mode = modes.load(name)
    assert mode.around_session(lambda: 7) == 7
    assert mode.title


def test_only_stock_is_not_ours():
    assert [name for name in modes.NAMES if not modes.load(name).is_ours] == ["stock"]


def test_bridge_mode_runs_in_the_bridge_and_counts_waits():
    mode = modes.load("bridge")
    before = mode.waits()

    def session():
        for _ in range(3):
            await_(asyncio.sleep(0))
        return in_bridge(), threading.current_thread()

    assert mode.around_session(session) == (True, threading.main_thread())
    assert mode.waits() - before == 3


def test_async_mode_runs_each_class_on_a_loop_of_its_own():
    loops = {}

    def run(suite):
        for test in suite:
            loops[type(test).__name__, test._testMethodName] = loop_of_bridge()

    suite = unittest.TestSuite(
        [First("test_a"), First("test_b"), Second("test_a"), Second("test_b")]
    )
    modes.load("async").around_suite(suite, run)
    assert loops["First", "test_a"] is loops["First", "test_b"]
    assert loops["Second", "test_a"] is loops["Second", "test_b"]
    assert loops["First", "test_a"] is not loops["Second", "test_a"]


def loop_of_bridge():
    async def loop():
        return asyncio.get_running_loop()

    return await_(loop())


class First(unittest.TestCase):
    __test__ = False  # not for pytest
    databases = frozenset()

    def test_a(self):
        pass

    async def test_b(self):
        pass


class Second(First):
    databases = frozenset({"default"})


class Third(Second):
    pass


@pytest.mark.parametrize(("method", "is_async"), [("test_a", False), ("test_b", True)])
def test_async_mode_selects_async_tests(method, is_async):
    assert modes.load("async").selects(First(method)) is is_async


async def test_counted_passes_everything_on():
    async def work():
        await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise ZeroDivisionError

    before = Counted.suspensions
    task = asyncio.ensure_future(Counted(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(ZeroDivisionError):
        await task
    assert Counted.suspensions - before == 2


def test_share_is_fixed_and_covers_each_app():
    tests = [cls(name) for cls in (First, Second, Third) for name in ("test_a",)]
    # Of those with a database the first, and of those without.
    assert [type(test) for test in take_share(tests, 3)] == [First, Second]
    assert take_share(tests, 1) == tests
