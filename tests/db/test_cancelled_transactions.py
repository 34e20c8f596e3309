"""
Cancellation while a block is being ended; see also test_cancellation_storms.py.
"""

from __future__ import annotations

import asyncio
import contextlib

import anyio
import pytest
from django.db import OperationalError, connection, transaction
from django.db.transaction import TransactionManagementError

from django_evergreen.bridge import run_sync
from django_evergreen.db import (
    TransactionRolledBack,
    hold_connection,
    new_connections,
    statistics,
)

from ..app.models import Author

postgresql = pytest.mark.only("postgresql")

# Makes COMMIT wait for the advisory lock 42, and ROLLBACK not.
SLOW_COMMIT = """
CREATE OR REPLACE FUNCTION pg_temp_wait() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON app_author
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp_wait();
"""


@pytest.fixture
def slow_commit(db):
    with connection.cursor() as cursor:
        cursor.execute(SLOW_COMMIT)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER slow_commit ON app_author")
        cursor.execute("DROP FUNCTION pg_temp_wait")


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()


async def until_somebody_waits_for_the_lock():
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with new_connections():
        while await run_sync(execute, waiting) is None:
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def commit_held_up():
    """
    A task in the middle of its COMMIT, which goes on after the block.
    """

    async def write():
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            transaction.on_commit(lambda: committed.append("A"))

    committed = []
    async with hold_connection():
        await run_sync(execute, "SELECT pg_advisory_lock(42)")
        task = asyncio.create_task(write())
        await until_somebody_waits_for_the_lock()
        yield task, committed


@postgresql
async def test_commit_survives_a_cancellation_which_is_raised_then(slow_commit):
    async with commit_held_up() as (task, committed):
        task.cancel("enough")
        await asyncio.sleep(0)
        assert not task.done()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert committed == ["A"]
    assert await Author.objects.acount() == 1


@postgresql
async def test_second_cancellation_closes_the_connection(slow_commit):
    async with commit_held_up() as (task, committed):
        size = statistics().size
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert statistics().size == size - 1
        assert committed == []


@postgresql
async def test_end_of_a_cancelled_block_has_a_deadline(slow_commit, monkeypatch):
    monkeypatch.setattr("django_evergreen.db._finishing.FINISH_TIMEOUT", 0.05)
    async with commit_held_up() as (task, committed):
        size = statistics().size
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert statistics().size == size - 1
        assert committed == []


@postgresql
async def test_timeout_during_the_commit_is_a_timeout(slow_commit):
    async def write():
        async with asyncio.timeout(None) as timeout:
            timeouts.append(timeout)
            async with transaction.atomic():
                await Author.objects.acreate(name="A")

    timeouts = []
    async with hold_connection():
        await run_sync(execute, "SELECT pg_advisory_lock(42)")
        task = asyncio.create_task(write())
        await until_somebody_waits_for_the_lock()
        timeouts[0].reschedule(0)
        await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError):
        await task
    assert await Author.objects.acount() == 1


@postgresql
async def test_level_cancellation_during_the_commit(slow_commit):
    async def write():
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            async with transaction.atomic():
                await Author.objects.acreate(name="A")

    scopes = []
    async with hold_connection():
        await run_sync(execute, "SELECT pg_advisory_lock(42)")
        task = asyncio.create_task(write())
        await until_somebody_waits_for_the_lock()
        scopes[0].cancel()
        # anyio cancels again with each turn of the loop.
        for _ in range(10):
            await asyncio.sleep(0)
    await task
    assert scopes[0].cancelled_caught
    assert await Author.objects.acount() == 1


async def test_level_cancellation_of_the_body(db):
    with anyio.CancelScope() as scope:
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert await Author.objects.acount() == 0
    assert (statistics().size, statistics().idle) == (1, 1)


SLOW = {
    "postgresql": "SELECT pg_sleep(20)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT count(*) FROM n",
}


async def slow_query():
    """
    A query that takes long and is cancelled early.
    """
    async with asyncio.timeout(0.02):
        await run_sync(execute, SLOW[connection.vendor])


async def test_cancelled_statement_spoils_its_block_aloud(db):
    with pytest.raises(TransactionRolledBack, match="CancelledError"):
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            with pytest.raises(TimeoutError):
                await slow_query()
    assert await Author.objects.acount() == 0


async def test_rollback_that_was_asked_for_is_quiet(db):
    async with transaction.atomic():
        await Author.objects.acreate(name="A")
        with pytest.raises(TimeoutError):
            await slow_query()
        await run_sync(transaction.set_rollback, True)
    assert await Author.objects.acount() == 0


async def test_no_statement_follows_a_cancelled_one_in_its_block(db):
    with pytest.raises(TransactionManagementError):
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            with pytest.raises(TimeoutError):
                await slow_query()
            await Author.objects.acreate(name="B")
    assert await Author.objects.acount() == 0


async def test_cancelled_statement_spoils_only_the_nested_block_it_is_in(db):
    async with transaction.atomic():
        await Author.objects.acreate(name="A")
        with pytest.raises(TimeoutError):
            async with transaction.atomic():
                await Author.objects.acreate(name="B")
                await slow_query()
        await Author.objects.acreate(name="C")
    assert [a.name async for a in Author.objects.all()] == ["A", "C"]


async def test_statement_of_a_task_is_broken_off_when_the_block_fails(db, monkeypatch):
    monkeypatch.setattr("django_evergreen.db._atomic.FINISH_TIMEOUT", 0.05)
    started = asyncio.Event()

    async def slow():
        started.set()
        await run_sync(execute, SLOW[connection.vendor])

    with pytest.raises(ZeroDivisionError):
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            task = asyncio.create_task(slow())
            await started.wait()
            await asyncio.sleep(0)
            raise ZeroDivisionError
    with pytest.raises(OperationalError, match=r"cancel|interrupt"):
        await task
    assert await Author.objects.acount() == 0
    assert statistics().idle == statistics().size


async def until_the_server_sleeps_no_more():
    sleeping = (
        "SELECT 1 FROM pg_stat_activity WHERE state = 'active' "
        "AND query LIKE 'SELECT pg_sleep%'"
    )
    while await run_sync(execute, sleeping) is not None:
        await asyncio.sleep(0)


@postgresql
@pytest.mark.parametrize("times", [1, 2])
async def test_cancellations_while_the_rollback_waits_for_the_statement_of_a_task(
    db, times
):
    locks, children = [], []

    async def fail():
        async with transaction.atomic():
            sleeping = run_sync(execute, "SELECT pg_sleep(0.3)::text")
            children.append(asyncio.create_task(sleeping))
            while not connection.connection.lock.locked:
                await asyncio.sleep(0)
            locks.append(connection.connection.lock)
            raise ZeroDivisionError

    task = asyncio.create_task(fail())
    async with asyncio.timeout(10):
        while not locks:
            await asyncio.sleep(0)
        for _ in range(times):
            while not locks[0]._waiters:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        # Its connection is whole or closed, not left in the transaction.
        assert str(task.get_name()) not in statistics().holders
        await asyncio.gather(*children, return_exceptions=True)
        await until_the_server_sleeps_no_more()
    assert statistics().size == statistics().idle
