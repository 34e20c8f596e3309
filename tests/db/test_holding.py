"""
``hold_connection()`` and ``new_connections()``.
"""

from __future__ import annotations

import asyncio

import pytest
from django.db import NotSupportedError, connection, transaction

from django_evergreen.bridge import NotInBridge, run_sync
from django_evergreen.db import hold_connection, new_connections, statistics

from ..app.models import Author

# Session state that survives a transaction: set it, and look at it.
STATE = {
    "postgresql": ("SET lock_timeout = '7s'", "SHOW lock_timeout", "7s"),
    "sqlite": ("PRAGMA cache_size = 77", "PRAGMA cache_size", 77),
}


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone() if cursor.description else None
    return row and row[0]


async def until_closed():
    while statistics().size:
        await asyncio.sleep(0)


async def test_session_is_kept_whatever_the_block_waits_for(db):
    change, look, value = STATE[connection.vendor]
    async with hold_connection():
        await run_sync(execute, change)
        await asyncio.sleep(0)
        assert await asyncio.create_task(Author.objects.acount()) == 0
        assert await run_sync(execute, look) == value
    assert await run_sync(execute, look) != value


async def test_held_connection_is_closed_afterwards(db):
    async with hold_connection():
        assert len(statistics().holders) == 1
    assert statistics().size == 0


async def test_hold_inside_a_transaction_lasts_until_its_end(db):
    async with transaction.atomic():
        await Author.objects.acreate(name="A")
        async with hold_connection():
            await Author.objects.acreate(name="B")
        await Author.objects.acreate(name="C")
        assert statistics().size == 1
    assert statistics().size == 0
    assert await Author.objects.acount() == 3


async def test_hold_around_transactions_and_in_the_bridge(db):
    change, look, value = STATE[connection.vendor]

    def work():
        with hold_connection(), hold_connection():
            execute(change)
            with transaction.atomic():
                Author.objects.create(name="A")
            return execute(look)

    assert await run_sync(work) == value
    assert statistics().size == 0


async def test_held_connection_of_a_dead_task_is_closed(db):
    change, look, value = STATE[connection.vendor]

    async def die():
        await hold_connection().__aenter__()
        await run_sync(execute, change)

    await asyncio.create_task(die())
    await until_closed()
    assert await run_sync(execute, look) != value


async def test_hold_is_refused_behind_a_transaction_pooler(db, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    with pytest.raises(NotSupportedError, match="hold_connection"):
        async with hold_connection():
            pass
    async with transaction.atomic(), hold_connection():
        await Author.objects.acreate(name="A")


@pytest.mark.parametrize("block", [hold_connection, new_connections])
def test_block_is_refused_outside_the_bridge(db, block):
    with pytest.raises(NotInBridge, match=f"async with {block.__name__}"):
        with block():
            pass


async def test_new_connections_give_back_what_they_used(db):
    async with new_connections():
        await Author.objects.acount()
        async with new_connections():
            await Author.objects.acount()
    assert statistics().idle == statistics().size == 1


async def test_new_connections_roll_back_what_was_left_open(db, caplog):
    async with new_connections():
        await run_sync(transaction.set_autocommit, False)
        await Author.objects.acreate(name="A")
    while statistics().holders:
        await asyncio.sleep(0)
    assert "open transaction" in caplog.text
    assert await Author.objects.acount() == 0
