"""
Synchronous code: in the bridge, and in threads that are started inside a block.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

from asgiref.sync import ThreadSensitiveContext, sync_to_async

from django_evergreen.bridge import await_, offload, run_sync
from django_evergreen.db import TransactionEnded

from .._expected import Sabotage, Violation
from .._ledger import LEGS, transfer

# Seconds after which a thread no longer waits for its block to end.
PATIENCE = 30.0


async def sync_in_bridge(t):
    """
    Run Django's own synchronous way, with nested blocks and waits between.
    """
    await run_sync(make_transfers, t)


def make_transfers(t):
    order, other = t.order(), t.order()
    with t.block(order) as block:
        transfer(order)
        await_(t.pause())
        with contextlib.suppress(Sabotage), t.block(other, parent=block):
            transfer(other)
            await_(t.pause())
            t.sabotage(0.4)
        # Raises if the savepoint could not be rolled back.
        transfer(t_order := t.order())
        block.tokens.append(t_order.token)
        t.sabotage()


async def in_threads(t):
    """
    Have each leg written by a thread.
    """
    order = t.order()
    sensitive = t.dice.happens(0.3)
    async with contextlib.AsyncExitStack() as stack:
        if sensitive:
            await stack.enter_async_context(ThreadSensitiveContext())
        await stack.enter_async_context(t.block(order))
        legs = [
            sync_to_async(t.watched(leg), thread_sensitive=sensitive) for leg in LEGS
        ]
        if t.dice.happens(0.5):
            await asyncio.gather(*(t.start(leg, order) for leg in legs))
        else:
            for leg in legs:
                await leg(order)
        t.sabotage(0.1)


async def offloaded(t):
    """
    Have the legs written by threads that sync code in the bridge starts.
    """
    await run_sync(offload_legs, t)


def offload_legs(t):
    order = t.order()
    with t.block(order):
        for leg in LEGS:
            offload(t.watched(leg), order)
        t.sabotage()


async def thread_outlives_its_block(t):
    """
    Have a thread write when its block has ended: it must be refused.
    """
    order, late, ended = t.order(), t.order(), threading.Event()

    def straggler():
        ended.wait(PATIENCE)
        with contextlib.suppress(TransactionEnded):
            transfer(late)
            raise Violation("A thread went on in a block that has ended.")

    call = sync_to_async(t.watched(straggler), thread_sensitive=False)
    try:
        async with t.block(order):
            await sync_to_async(transfer, thread_sensitive=False)(order)
            child = t.start(call)
            await t.pause()
            t.sabotage()
    finally:
        ended.set()
    await child
