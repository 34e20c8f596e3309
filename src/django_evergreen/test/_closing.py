"""
The end of an event loop, whatever still runs on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from ._steps import bury

logger = logging.getLogger("django_evergreen.test")

# Seconds for tasks that were cancelled, and for each of the loop's own clean-ups.
CLOSE_TIMEOUT = 2.0


def close_loop(loop: Any, *last: Any) -> None:
    """
    Cancel what runs, and close. What doesn't end is left behind, and logged.
    """
    with contextlib.suppress(RuntimeError):
        loop.run_until_complete(_end(last))
    loop.close()


async def _end(last: tuple[asyncio.Task[Any], ...]) -> None:
    for task in last:
        task.cancel()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await cancel(tasks, CLOSE_TIMEOUT)
    loop = asyncio.get_running_loop()
    try:
        await asyncio.wait_for(loop.shutdown_asyncgens(), 2 * CLOSE_TIMEOUT)
    except TimeoutError:
        logger.warning("Async generators did not end with %r.", loop)


async def cancel(tasks: Any, timeout: float) -> set[asyncio.Task[Any]]:  # noqa: ASYNC109
    """
    Cancel tasks, and wait for them. Returns those that have not ended: they never
    run again.
    """
    for task in tasks:
        task.cancel()
    if not tasks:
        return set()
    _, stubborn = await asyncio.wait(tasks, timeout=timeout)
    for task in stubborn:
        await starve(task)
    return stubborn


async def starve(task: asyncio.Task[Any]) -> None:
    """
    Let a task wait for ever.
    """
    for _ in range(100):
        waiter: Any = getattr(task, "_fut_waiter", None)
        if task.done():
            return
        if waiter is not None:
            break
        # It's about to run.
        await asyncio.sleep(0)
    else:
        logger.warning("%r never waits.", task)
        return
    _forget_waker(waiter)
    bury(task)
    asyncio.tasks._unregister_task(task)


def _forget_waker(waiter: Any) -> None:
    """
    Remove the callbacks by which a future resumes who waits for it.
    """
    if isinstance(waiter, asyncio.Future):
        for callback, _ in waiter._callbacks or ():
            waiter.remove_done_callback(callback)
    else:
        # The bridge's own.
        waiter._wakeup = None
