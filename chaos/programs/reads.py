"""
Reads: many at once, half of them, and slow ones.
"""

from __future__ import annotations

import asyncio
import contextlib

from .._expected import Violation
from .._ledger import aquery, atransfer
from ..ledger.models import Account, Transfer

CHUNK = 5


async def in_parallel(t):
    """
    Read in more tasks than there are connections.
    """
    pks = t.dice.choices(t.world.accounts, k=20)
    accounts = await asyncio.gather(*(Account.objects.aget(pk=pk) for pk in pks))
    if [account.pk for account in accounts] != pks:
        raise Violation("Reads have got each other's results.")


async def abandoned_iteration(t):
    """
    Stop an iteration half-way, and query meanwhile.
    """
    if t.dice.happens(0.5):
        await iterate(t)
        return
    async with contextlib.aclosing(transfers()) as iterator:
        await iterate(t, iterator)


async def iterate(t, iterator=None):
    stop = t.dice.randrange(3 * CHUNK)
    # Without aclosing() it's closed by whoever finalizes async generators.
    async for _ in iterator or transfers():
        if t.dice.happens(0.2):
            await Account.objects.aexists()
        if not stop:
            break
        stop -= 1


async def transfers():
    async for transfer in Transfer.objects.aiterator(chunk_size=CHUNK):
        yield transfer


async def iteration_in_block(t):
    order = t.order()
    async with t.block(order):
        await iterate(t)
        await atransfer(order)
        t.sabotage()


async def slow(t):
    """
    Run statements that are mostly still running when the task is cancelled.
    """
    order = t.order()
    async with t.block(order):
        await atransfer(order)
        await aquery("SELECT pg_sleep(%s)", t.dice.moment())


async def timeout_in_block(t):
    """
    Give up a slow statement, in a savepoint or not, and end the block normally.
    """
    order = t.order()
    async with t.block(order) as block:
        await atransfer(order)
        with contextlib.suppress(TimeoutError):
            async with t.block(parent=block), asyncio.timeout(t.dice.moment()):
                await aquery("SELECT pg_sleep(%s)", t.dice.moment())
        await Transfer.objects.aexists()
