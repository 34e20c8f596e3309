"""
Ways to interrupt a program from outside: all that end a task before its time.
"""

from __future__ import annotations

import asyncio
import sys

import anyio

from ._expected import Sabotage, ensure

Cancelled = asyncio.CancelledError


async def nothing(dice, program):
    await program()


async def cancel_after_a_while(dice, program):
    task = asyncio.create_task(program())
    await asyncio.wait([task], timeout=dice.moment())
    await cancelled(task)


async def cancel_after_some_turns(dice, program):
    task = asyncio.create_task(program())
    for _ in range(dice.randrange(200)):
        await asyncio.sleep(0)
    await cancelled(task)


async def cancel_twice(dice, program):
    task = asyncio.create_task(program())
    await asyncio.wait([task], timeout=dice.moment())
    task.cancel()
    for _ in range(dice.randrange(5)):
        await asyncio.sleep(0)
    if dice.happens(0.5):
        await asyncio.wait([task], timeout=dice.moment())
    await cancelled(task)


async def cancelled(task):
    """
    Cancel a task, and see that it does not go on as if nothing had happened.
    """
    was_running = task.cancel()
    await asyncio.wait([task])
    await task
    ensure(not was_running, f"{task} has swallowed its cancellation.")


async def timeout(dice, program):
    async with asyncio.timeout(dice.moment()):
        await program()


async def wait_for(dice, program):
    await asyncio.wait_for(program(), dice.moment())


async def anyio_scope(dice, program):
    with anyio.move_on_after(dice.moment()):
        await program()


async def failing_sibling(dice, program):
    async def fail():
        await asyncio.sleep(dice.moment())
        raise Sabotage("a sibling in the TaskGroup")

    async with asyncio.TaskGroup() as group:
        group.create_task(program())
        group.create_task(fail())


# Before Python 3.13, a TaskGroup in which a task has failed leaves its own task with a
# cancellation too many, by which timeout() doesn't know its own for the only one.
Timeout = TimeoutError if sys.version_info >= (3, 13) else (TimeoutError, Cancelled)

# With the exceptions by which they may show, and how often they are drawn.
INTERRUPTIONS = {
    nothing: ((), 10),
    cancel_after_a_while: (Cancelled, 3),
    cancel_after_some_turns: (Cancelled, 1),
    cancel_twice: (Cancelled, 2),
    timeout: (Timeout, 2),
    wait_for: (Timeout, 1),
    # asyncio's TaskGroup and timeout cancel anew without anyio's message, by which
    # a scope would know the cancellation for its own.
    anyio_scope: (Cancelled, 2),
    failing_sibling: ((), 1),
}


def draw_interruption(dice, world):
    weights = {i: weight for i, (_, weight) in INTERRUPTIONS.items()}
    chosen = {i: 1 for i in weights if i.__name__ in world.only} or weights
    return dice.choices(list(chosen), list(chosen.values()))[0]
