"""
A worker runs one program after the other until the run is over.
"""

from __future__ import annotations

import asyncio
import traceback

from django.db import OperationalError

from django_evergreen.bridge._loops import current_hub
from django_evergreen.db import statistics

from ._dice import Dice
from ._interruptions import INTERRUPTIONS, draw_interruption
from ._teller import Teller
from .programs import draw_program

# Every wait in a program is bounded, for the pool and for locks by about 1 s. One that
# takes this long, in seconds, hangs.
HANGS = 45.0


async def work(world, number):
    dice = Dice(world.seed, f"worker {number}")
    count = 0
    while not world.is_over:
        count += 1
        await attempt(world, dice, f"w{number}.{count}")
        if dice.happens(0.2):
            await asyncio.sleep(dice.moment())


async def attempt(world, dice, name):
    """
    Run one program, and judge how it ended.
    """
    program = draw_program(dice, world)
    interruption = draw_interruption(dice, world)
    teller = Teller(world, dice, program, name)
    task = asyncio.create_task(
        interruption(dice, lambda: program(teller)),
        name=f"{name} {program.__name__} with {interruption.__name__}",
    )
    await finished(world, task)
    if not task.done():
        return
    outcome = task_error(task)
    if outcome is None:
        world.report.outcome(program.__name__, "done")
        return
    world.report.failed(program.__name__, outcome)
    if isinstance(outcome, OperationalError):
        # The server may be down.
        await asyncio.sleep(dice.random() * 0.2)
    expected, _ = INTERRUPTIONS[interruption]
    world.report.check(task.get_name(), outcome, expected)


async def finished(world, task):
    """
    Wait for a task; one that hangs is a violation.
    """
    await asyncio.wait([task], timeout=HANGS)
    if task.done():
        return
    world.report.violation(f"{task.get_name()} hangs.", "".join(stacks(task)))
    task.cancel()
    await asyncio.wait([task], timeout=HANGS)
    if not task.done():
        world.report.violation(f"{task.get_name()} can't be cancelled.")


def task_error(task):
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def stacks(task):
    """
    Yield where the task waits, and all greenlets, as one of them may be its.
    """
    yield f"{statistics()}\n"
    for frame in task.get_stack():
        yield from traceback.format_stack(frame, limit=1)
    for g in current_hub().suspended:
        yield "A suspended greenlet:\n"
        yield from traceback.format_stack(g.gr_frame)
