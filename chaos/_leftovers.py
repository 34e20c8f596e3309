"""
What must not be left over when all programs have ended.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import traceback

from django_evergreen.bridge import _greenlets
from django_evergreen.bridge._greenlets import BridgeGreenlet
from django_evergreen.bridge._loops import current_hub
from django_evergreen.db import close_pools, statistics

from ._settings import APPLICATION
from ._worker import finished

# Seconds that what was abandoned may take to end.
PATIENCE = 10.0

# Sessions that are in a transaction or hold a lock.
BUSY_SESSIONS = """
SELECT pid, state, query FROM pg_stat_activity
WHERE application_name = %s AND state <> 'idle'
"""
LOCKS = "SELECT pid, objid FROM pg_locks WHERE locktype = 'advisory'"
ALL_SESSIONS = (
    "SELECT pid, state, query FROM pg_stat_activity WHERE application_name = %s"
)


async def check_on_the_loop(world):
    """
    Check tasks, greenlets, the pool and the server's sessions, then close the pool.
    """
    for task in list(world.tasks):
        await finished(world, task)
    await expect(world, "The pool is not whole", pool_in_use)
    await expect(world, "Tasks are left over", tasks)
    await expect(world, "Greenlets are suspended", suspended)
    if world.is_postgresql:
        await expect(world, "Sessions are busy", ask(world, BUSY_SESSIONS, APPLICATION))
        await expect(world, "Locks are held", ask(world, LOCKS))
    await close_pools(timeout=PATIENCE)
    if world.is_postgresql:
        await expect(world, "Sessions are open", ask(world, ALL_SESSIONS, APPLICATION))


async def expect(world, what, left_over):
    """
    Give it some time to be gone.
    """
    deadline = time.monotonic() + PATIENCE
    while left := left_over():
        if time.monotonic() > deadline:
            world.report.violation(f"{what}: {left}")
            return
        await asyncio.sleep(0.05)


def pool_in_use():
    s = statistics()
    return s if s.waiting or s.holders or s.idle != s.size else None


def tasks():
    known = {asyncio.current_task()}
    others = asyncio.all_tasks() - known
    return [task for task in others if task.get_name() != "heartbeat"]


def suspended():
    return list(current_hub().suspended)


def ask(world, *query):
    return lambda: world.server.ask(*query)


def check_after_the_loop(world, threads):
    """
    Check that the loop has left nothing. ``threads``: those before it.
    """
    deadline = time.monotonic() + PATIENCE
    while left := set(threading.enumerate()) - threads:
        if time.monotonic() > deadline:
            world.report.violation(f"Threads are left over: {left}")
            break
        time.sleep(0.05)
    # What finalizers have brought back goes the next time.
    for _ in range(3):
        gc.collect()
    for g in gc.get_objects():
        # One that has a frame has begun and not ended.
        if isinstance(g, BridgeGreenlet) and g.gr_frame and not is_at_rest(g):
            stack = "".join(traceback.format_stack(g.gr_frame))
            world.report.violation("A greenlet is left over.", stack)


def is_at_rest(g):
    # It waits for a job, kept for the next one, or by who refers to its parent.
    return g.gr_frame.f_code is _greenlets._work.__code__
