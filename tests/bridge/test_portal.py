"""
``@portal``: coroutines whose sync code suspends.
"""

from __future__ import annotations

import asyncio
import inspect

import pytest

from django_evergreen.bridge import await_, in_bridge, portal, run_sync


def sync_double(value):
    await_(asyncio.sleep(0))
    return 2 * value


@portal
async def doubled(value):
    await asyncio.sleep(0)
    assert in_bridge()
    return sync_double(value) + await asyncio.sleep(0, 1)


async def test_sync_code_in_a_portal_suspends():
    assert await doubled(3) == 7


async def test_portals_nest_and_run_at_once():
    @portal
    async def outer(value):
        return await doubled(sync_double(value)) + await run_sync(sync_double, 1)

    values = await asyncio.gather(*(outer(value) for value in range(5)))
    assert values == [4 * value + 3 for value in range(5)]


async def test_portal_raises_where_the_await_is():
    async def fail():
        await asyncio.sleep(0)
        raise ValueError("boom")

    @portal
    async def function():
        try:
            await fail()
        except ValueError:
            return "caught"

    assert await function() == "caught"


async def test_portal_is_cancelled_where_it_waits():
    events = []
    started = asyncio.Event()

    @portal
    async def function():
        try:
            started.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append(sync_double(1))
            raise

    task = asyncio.create_task(function())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == [2]


async def test_closing_a_portal_runs_its_finally_blocks():
    events = []

    @portal
    async def function():
        try:
            await asyncio.Event().wait()
        finally:
            events.append("finally")

    driver = function()
    driver.send(None)
    driver.close()
    assert events == ["finally"]


def test_portal_makes_a_coroutine_function():
    assert inspect.iscoroutinefunction(doubled)
    assert doubled.__name__ == "doubled"


def test_portal_refuses_a_sync_function():
    with pytest.raises(TypeError, match="run_sync"):
        portal(sync_double)
