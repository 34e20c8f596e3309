"""
``BridgeLock``: fair, and nothing lost when a waiter is cancelled.
"""

from __future__ import annotations

import asyncio

import pytest

from django_evergreen import NotInBridge
from django_evergreen.bridge import await_, run_sync
from django_evergreen.bridge._lock import BridgeLock


async def test_waiters_get_the_lock_in_the_order_of_coming():
    lock, order = BridgeLock(), []

    def use(name):
        with lock:
            order.append(name)
            await_(asyncio.sleep(0))

    await asyncio.gather(*(run_sync(use, name) for name in range(10)))
    assert order == list(range(10))
    assert repr(lock) == "<BridgeLock unlocked, 0 waiting>"


async def test_late_comer_does_not_barge_in_at_the_hand_over():
    lock, order = BridgeLock(), []

    def use(name):
        with lock:
            order.append(name)

    await run_sync(lock.acquire)
    first = asyncio.create_task(run_sync(use, "first"))
    await asyncio.sleep(0)
    lock.release()
    # The lock is handed over, but the first has not run yet.
    await run_sync(use, "late")
    await first
    assert order == ["first", "late"]


async def test_call_when_free_comes_after_those_who_wait_and_before_late_comers():
    lock, order = BridgeLock(), []

    def use(name):
        with lock:
            order.append((name, lock.locked))

    await run_sync(lock.acquire)
    first = asyncio.create_task(run_sync(use, "first"))
    await asyncio.sleep(0)
    lock.call_when_free(lambda: order.append(("call", lock.locked)))
    late = asyncio.create_task(run_sync(use, "late"))
    await asyncio.sleep(0)
    lock.release()
    await asyncio.gather(first, late)
    assert order == [("first", True), ("call", True), ("late", True)]
    assert not lock.locked


async def test_lock_is_released_though_the_call_when_free_fails():
    lock = BridgeLock()
    lock.acquire()
    lock.call_when_free(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lock.release()
    assert not lock.locked


async def test_cancelled_waiter_leaves_the_queue():
    lock = BridgeLock()
    await run_sync(lock.acquire)
    waiting = asyncio.create_task(run_sync(lock.acquire))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    lock.release()
    assert not lock.locked


async def test_waiter_cancelled_in_the_tick_of_the_hand_over_passes_it_on():
    lock = BridgeLock()
    await run_sync(lock.acquire)
    waiting = asyncio.create_task(run_sync(lock.acquire))
    await asyncio.sleep(0)
    lock.release()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not lock.locked


async def test_locked_outside_the_bridge_is_refused():
    lock = BridgeLock()
    await run_sync(lock.acquire)
    with pytest.raises(NotInBridge, match="locked"):
        lock.acquire()
