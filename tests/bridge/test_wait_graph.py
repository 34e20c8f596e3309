"""
Who waits for whom.
"""

from __future__ import annotations

import asyncio

import anyio
import pytest

from django_evergreen.bridge import await_, run_sync
from django_evergreen.bridge._wait_graph import needs


async def in_group(group, task):
    async def child():
        await task

    async with group as entered:
        if hasattr(entered, "start_soon"):
            entered.start_soon(child)
        else:
            entered.create_task(child())


async def through_another_task(task):
    await asyncio.create_task(asyncio.wait([task]))


WAITS = {
    "await": lambda task: asyncio.wait_for(task, None),
    "gather": lambda task: asyncio.gather(asyncio.sleep(0), task),
    "wait": lambda task: asyncio.wait([task]),
    "shield": asyncio.shield,
    "group": lambda task: in_group(asyncio.TaskGroup(), task),
    "anyio": lambda task: in_group(anyio.create_task_group(), task),
    "another": through_another_task,
    "bridge": lambda task: run_sync(await_, task),
}

NO_WAITS = {
    "event": lambda task: asyncio.Event().wait(),
    "bounded": lambda task: asyncio.wait([task], timeout=60),
    "first": lambda task: asyncio.wait(
        [task, asyncio.ensure_future(asyncio.Event().wait())],
        return_when=asyncio.FIRST_COMPLETED,
    ),
}


async def until_it_waits(waiting):
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()


async def start(wait):
    """
    Return a task that waits in some way, and the one that it may wait for.
    """
    task = asyncio.create_task(asyncio.Event().wait())

    async def wait_for():
        await wait(task)

    waiting = asyncio.create_task(wait_for())
    await until_it_waits(waiting)
    return waiting, task


async def end(*tasks):
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.parametrize("how", WAITS)
async def test_wait_that_ends_only_with_the_task_is_found(how):
    waiting, task = await start(WAITS[how])
    assert needs(waiting, task)
    assert not needs(task, waiting)
    await end(waiting, task)


@pytest.mark.parametrize("how", NO_WAITS)
async def test_wait_that_may_end_otherwise_is_no_false_alarm(how):
    waiting, task = await start(NO_WAITS[how])
    assert not needs(waiting, task)
    await end(waiting, task)


async def test_other_reasons_to_wait_are_followed():
    waiting, task = await start(NO_WAITS["event"])
    assert needs(waiting, task, lambda other: [waiting] if other is task else [])
    await end(waiting, task)
