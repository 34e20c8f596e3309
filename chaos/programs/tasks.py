"""
Tasks that are started inside a block, and belong to it.
"""

from __future__ import annotations

import asyncio
import contextlib

from django.db import transaction

from django_evergreen.db import TransactionDeadlock, TransactionEnded

from .._expected import Violation, ensure
from .._ledger import ASYNC_LEGS, alock, aquery, atransfer
from ..ledger.models import Account, Transfer
from .blocks import branch


async def gathered(t):
    """
    Have each leg written by a child. After an error, the others run on.
    """
    order = t.order()
    async with t.block(order):
        await alock(sorted([order.source, order.target]))
        children = [t.start(leg, t, write, order) for write in ASYNC_LEGS]
        seen = await asyncio.gather(*children)
        ensure(len(set(seen)) == 1, f"The children were in several blocks: {seen}")
        t.sabotage(0.1)


async def grouped(t):
    """
    The same in a TaskGroup, which cancels the others after an error.
    """
    order = t.order()
    async with t.block(order):
        async with asyncio.TaskGroup() as group:
            for write in ASYNC_LEGS:
                group.create_task(leg(t, write, order))
        t.sabotage(0.1)


async def leg(t, write, order):
    """
    Write one leg, and return the transaction in which it was.
    """
    await t.pause()
    t.sabotage(0.05)
    await write(order)
    if t.is_postgresql:
        return await aquery("SELECT txid_current()")
    return None


async def nested_siblings(t):
    """
    Have siblings with nested blocks, of which some fail, at the same time.
    """
    order = t.order()
    async with t.block(order) as block:
        await atransfer(order)
        children = [t.start(branch, t, block) for _ in range(t.dice.randint(2, 4))]
        await asyncio.gather(*children)
        await Transfer.objects.aexists()
        t.sabotage(0.1)


async def outlives_its_block(t):
    """
    Have a child write when its block has ended: it must be refused.
    """
    order, late, ended = t.order(), t.order(), asyncio.Event()
    try:
        async with t.block(order):
            await atransfer(order)
            child = t.start(straggler, t, late, ended)
            await t.pause()
            t.sabotage()
    finally:
        ended.set()
    await child


async def straggler(t, order, ended):
    await ended.wait()
    with contextlib.suppress(TransactionEnded):
        if t.dice.happens(0.5):
            async with t.block(order):
                await atransfer(order)
        else:
            await atransfer(order)
        raise Violation("A task went on in a block that has ended.")


async def waits_for_its_own_child(t):
    """
    Wait, in a nested block, for a child that waits for the end of that block.
    """
    order, late, may_start = t.order(), t.order(), asyncio.Event()

    async def sibling():
        await may_start.wait()
        async with transaction.atomic():
            await atransfer(late)

    async with t.block(order):
        await atransfer(order)
        child = t.start(sibling)
        try:
            async with transaction.atomic():
                await Account.objects.aexists()
                may_start.set()
                await child
        except TransactionDeadlock:
            t.world.report.event("deadlocks of tasks found")
            raise
        finally:
            may_start.set()
        raise Violation("A child ran in a block that excluded it.")
