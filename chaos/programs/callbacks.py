"""
What is called when a transaction has been committed, and only then.
"""

from __future__ import annotations

import contextlib

from django.db import transaction

from django_evergreen.db import aon_commit

from .._book import Fate
from .._expected import Sabotage, ensure
from .._ledger import atransfer
from ..ledger.models import Transfer


async def on_commit(t):
    """
    Have callbacks of both kinds record the transfer, in their order.
    """
    order, called, expected = t.order(), [], []
    async with t.block(order) as block:
        await atransfer(order)
        for number in range(t.dice.randint(1, 4)):
            register(t, order, number, called)
            expected.append(number)
        with contextlib.suppress(Sabotage):
            async with t.block(other := t.order(), parent=block):
                await atransfer(other)
                register(t, other, -1, called)
                t.sabotage(1.0)
        await Transfer.objects.aexists()
        t.sabotage()
        ensure(not called, f"Callbacks were called before the commit: {called}")
    ensure(called == expected, f"{expected} were to be called, and {called} were.")


def register(t, order, number, called):
    def callback():
        called.append(number)
        t.world.book.note([order.token], Fate.EXISTS, "on_commit() called back")

    async def coroutine():
        callback()
        await t.pause()
        if t.dice.happens(0.3):
            transfers = Transfer.objects.filter(token=order.token)
            there = await transfers.aexists()
            ensure(there, f"{order} is not there after its commit.")

    transaction.on_commit(t.dice.choice([callback, coroutine]))


async def outside(t):
    """
    Call back at once where there is no transaction.
    """
    called = []

    async def callback():
        await Transfer.objects.aexists()
        called.append(1)

    await aon_commit(callback)
    ensure(called == [1], "aon_commit() did not call outside a transaction.")
