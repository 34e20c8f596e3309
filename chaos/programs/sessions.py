"""
Connections besides the transaction's, and the state that a session keeps.
"""

from __future__ import annotations

import time

from django.db import transaction

from django_evergreen.db import hold_connection, new_connections

from .._auditor import look
from .._expected import ensure
from .._ledger import alock, aquery, atransfer
from .._monkey import check_pool
from ..ledger.models import Transfer

# Advisory locks, by their number: who has one, and since when.
_holders = {}
LOCKS = 3

READ_SETTING = "SELECT current_setting('chaos.holder', true)"
COUNT_LOCKS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
"""


async def audit_beside(t):
    """
    Look at the ledger from outside, while the own transfer is half done.
    """
    order = t.order()
    async with t.block(order):
        await atransfer(order)
        async with new_connections():
            transfers = Transfer.objects.filter(token=order.token)
            visible = await transfers.aexists()
            ensure(not visible, f"{order} is visible before its commit.")
            wrong = [] if t.is_postgresql else await snapshot(t)
            ensure(not wrong, f"Seen from beside a transaction: {wrong}")
        check_pool(t.world)
        visible = await Transfer.objects.filter(token=order.token).aexists()
        ensure(visible, f"{order} is not visible in its own transaction.")
        t.sabotage()


async def snapshot(t):
    async with transaction.atomic():
        return await look(t.world)


async def transfer_beside(t):
    """
    Make a transfer that stays, whatever becomes of the transaction around it.
    """
    order = t.order()
    # The one waits for the locks of the other, but not the other way round.
    beside = t.order(other=order)
    async with t.block(order):
        await alock(sorted([order.source, order.target]))
        async with new_connections(), t.block(beside):
            await atransfer(beside)
        await atransfer(order)
        t.sabotage()


async def held(t):
    """
    Keep a session, and with it a lock and a setting, over waits and transactions.
    """
    number, order = t.dice.randrange(LOCKS), t.order()
    async with hold_connection():
        (pid,) = await aquery("SELECT pg_backend_pid()")
        await aquery("SELECT set_config('chaos.holder', %s, false)", t.name)
        await aquery("SELECT pg_advisory_lock(%s)", number)
        claim(t, number)
        try:
            await t.pause()
            async with t.block(order):
                await atransfer(order)
            await t.pause()
            seen = await aquery(f"{READ_SETTING}, pg_backend_pid()")
            kept = seen == (t.name, pid)
            ensure(kept, f"The session of {t.name, pid} became {seen}.")
        finally:
            _holders.pop(number, None)


def claim(t, number):
    """
    Check that nobody else has the lock, as far as no session was killed.
    """
    other = _holders.get(number)
    if other is not None:
        lost = t.world.was_killed_since(other[1])
        ensure(lost, f"{t.name} and {other[0]} have the same lock.")
    _holders[number] = t.name, time.monotonic()


async def innocent(t):
    """
    Find no trace of another's session.
    """
    if not t.is_postgresql:
        return
    (setting,) = await aquery(READ_SETTING)
    (locks,) = await aquery(COUNT_LOCKS)
    is_new = not setting and not locks
    ensure(is_new, f"A session was not new: {setting!r}, {locks} locks.")
