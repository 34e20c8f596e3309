"""
One task and its blocks.
"""

from __future__ import annotations

import contextlib

from django.db import IntegrityError, transaction

from django_evergreen.bridge import run_sync

from .._book import Fate
from .._expected import Sabotage, Violation
from .._ledger import aenter, alock, atransfer
from ..ledger.models import Transfer


async def ordered(t):
    """
    Lock both accounts in the order of their keys, so that no deadlock arises.
    """
    order = t.order()
    async with t.block(order):
        await alock(sorted([order.source, order.target]))
        await t.pause()
        await atransfer(order)
        t.sabotage()


async def unordered(t):
    """
    Lock many accounts in any order: the server finds deadlocks.
    """
    order = t.order()
    async with t.block(order):
        await alock(t.dice.sample(t.world.accounts, 4))
        await atransfer(order)
        t.sabotage()


async def decorated(t):
    """
    Use atomic() as a decorator.
    """
    order = t.order()

    @transaction.atomic
    async def decorated():
        await atransfer(order)
        await t.pause()
        t.sabotage()
        # After this, only the commit is left.
        t.world.book.note([order.token], Fate.UNKNOWN, "the function returned")

    await decorated()
    t.world.book.note([order.token], Fate.EXISTS, "its decorator returned")


async def nested(t):
    """
    Have blocks in the block, of which some fail.
    """
    order = t.order()
    async with t.block(order) as block:
        await atransfer(order)
        for _ in range(t.dice.randint(1, 3)):
            await branch(t, block)
        # Raises if a savepoint could not be rolled back.
        await Transfer.objects.aexists()
        t.sabotage(0.1)


async def branch(t, parent, depth=0):
    order = t.order()
    with contextlib.suppress(Sabotage):
        async with t.block(order, parent=parent) as block:
            await atransfer(order)
            await t.pause()
            if depth < 2 and t.dice.happens(0.4):
                await branch(t, block, depth + 1)
            t.sabotage(0.4)


async def rolled_back(t):
    """
    Leave the block without an error, but not committed.
    """
    order = t.order()
    async with t.block(order, commits=False):
        await atransfer(order)
        await run_sync(transaction.set_rollback, True)


async def reused_token(t):
    """
    Break the unique constraint, and have a savepoint save the block.
    """
    order = t.order()
    async with t.block(order):
        await atransfer(order)
        with contextlib.suppress(IntegrityError):
            async with transaction.atomic():
                await aenter(order)
            raise Violation("A token was entered twice.")
        await Transfer.objects.aexists()


async def broken_block(t):
    """
    Break the unique constraint without a savepoint: the block is lost.
    """
    order = t.order()
    async with t.block(order, commits=False):
        await atransfer(order)
        with contextlib.suppress(IntegrityError):
            await aenter(order)
        await Transfer.objects.aexists()
        raise Violation("A broken block went on.")


async def abandoned(t):
    """
    End the task inside the block, without leaving it.
    """
    order = t.order()
    await transaction.atomic().__aenter__()
    await atransfer(order)
