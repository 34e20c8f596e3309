"""
Scopes: each task has connections of its own, and keeps one no longer than needed.
"""

from __future__ import annotations

import asyncio
import logging

import pytest
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import DatabaseError, connection, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper as StockWrapper

from django_evergreen.bridge import await_, portal, run_sync
from django_evergreen.db import statistics
from tests.app.models import Author


def held():
    return len(statistics().holders)


async def test_tasks_have_wrappers_of_their_own(db):
    async def wrapper():
        return connections["default"]

    one, other = await asyncio.gather(wrapper(), wrapper())
    assert one is not connections["default"]
    assert one is not other
    assert connections["default"] is connections["default"]


def test_thread_has_its_own_wrapper_after_a_loop_as_before(run, db):
    before = connections["default"]

    async def inside():
        return connections["default"]

    assert run(inside()) is not before
    assert connections["default"] is before


async def test_connection_is_given_back_when_sync_code_ends(db):
    def query():
        Author.objects.count()
        assert held() == 1

    await run_sync(query)
    assert held() == 0


async def test_connection_is_given_back_while_waiting_for_something_else(db):
    def query():
        Author.objects.count()
        await_(look())
        Author.objects.count()

    async def look():
        assert held() == 0

    await run_sync(query)


async def test_connection_is_given_back_while_a_portal_waits(db):
    @portal
    async def view():
        Author.objects.count()
        assert held() == 1
        await look()

    async def look():
        await asyncio.sleep(0)
        assert held() == 0

    await view()


async def test_connection_is_kept_in_a_transaction(db):
    def query():
        with transaction.atomic():
            Author.objects.create(name="A")
            await_(look(1))
            assert Author.objects.count() == 1
        await_(look(0))

    async def look(expected):
        assert held() == expected

    await run_sync(query)


async def test_connection_is_kept_while_a_cursor_is_entered(db):
    def query():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            await_(look(1))
            cursor.execute("SELECT 2")
            assert cursor.fetchone() == (2,)
        await_(look(0))

    async def look(expected):
        assert held() == expected

    await run_sync(query)


async def test_connection_is_kept_while_rows_are_iterated(db):
    await Author.objects.abulk_create(Author(name=str(n)) for n in range(300))
    seen = 0
    async for _ in Author.objects.aiterator(chunk_size=100):
        seen += 1
        assert held() == (seen <= 300)
        if seen == 150:
            assert await Author.objects.acount() == 300
    assert (seen, held()) == (300, 0)


async def test_abandoned_iteration_gives_the_connection_back(db):
    await Author.objects.abulk_create(Author(name=str(n)) for n in range(300))

    async def abandon():
        async for _ in Author.objects.aiterator(chunk_size=100):
            break

    await abandon()
    async with asyncio.timeout(10):
        while held() or statistics().idle != statistics().size:
            await asyncio.sleep(0)
    assert await Author.objects.acount() == 300
    assert statistics().size == 1


async def test_manual_transaction_keeps_the_connection_between_calls(db):
    await run_sync(transaction.set_autocommit, False)
    await Author.objects.acreate(name="A")
    assert held() == 1
    await run_sync(transaction.rollback)
    await run_sync(transaction.set_autocommit, True)
    assert held() == 0
    assert await Author.objects.acount() == 0


async def test_transaction_opened_by_raw_sql_keeps_the_connection(db):
    def execute(sql):
        connection.cursor().execute(sql)

    await run_sync(execute, "BEGIN")
    await Author.objects.acreate(name="A")
    assert held() == 1
    await run_sync(execute, "ROLLBACK")
    assert held() == 0
    assert await Author.objects.acount() == 0


async def test_task_that_ends_in_a_transaction_is_rolled_back_and_reported(db, caplog):
    async def forget():
        await run_sync(transaction.set_autocommit, False)
        await Author.objects.acreate(name="lost")

    with caplog.at_level(logging.WARNING, "django_evergreen"):
        await asyncio.create_task(forget(), name="the task")
        while held():
            # Its connection is rolled back in the background.
            await asyncio.sleep(0)
    assert "'the task' ended with an open transaction" in caplog.text
    assert statistics().idle == 1
    assert await Author.objects.acount() == 0


async def test_task_started_before_a_transaction_is_not_affected(db):
    may_go_on = asyncio.Event()

    async def other():
        await may_go_on.wait()
        return await Author.objects.acount()

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    if connection.vendor == "sqlite":
        # One writer at a time, but readers see what was committed.
        await run_sync(lambda: connection.cursor().execute("PRAGMA journal_mode=wal"))

    def begin():
        with transaction.atomic():
            Author.objects.create(name="A")
            may_go_on.set()
            assert await_(task) == 0

    await run_sync(begin)
    assert await Author.objects.acount() == 1


async def test_wrapper_kept_by_another_task_is_refused(db):
    async def mine():
        await Author.objects.acount()
        return connections["default"]

    await Author.objects.acount()
    other = await asyncio.create_task(mine())
    await asyncio.sleep(0)

    def use():
        other.cursor()

    with pytest.raises(DatabaseError, match=r"connections\['default'\]"):
        await run_sync(use)
    assert held() == 0


async def test_child_task_inherits_instrumentation(db):
    statements = []

    def spy(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    connection.force_debug_cursor = True
    with connection.execute_wrapper(spy):
        await asyncio.gather(Author.objects.acount(), Author.objects.acount())
    assert len(statements) == len(connection.queries) == 2
    await asyncio.gather(Author.objects.acount())
    assert len(statements) == 2


async def test_recycled_wrapper_has_no_trace_of_its_last_task(db):
    async def leave_traces():
        wrapper = connections["default"]
        wrapper.force_debug_cursor = True
        wrapper.execute_wrappers.append(lambda execute, *args: execute(*args))
        await Author.objects.acount()
        return wrapper

    async def look():
        return connections["default"]

    used = await asyncio.create_task(leave_traces())
    await asyncio.sleep(0)
    again = await asyncio.create_task(look())
    assert again is used
    assert not again.force_debug_cursor
    assert not again.execute_wrappers
    assert not again.queries_log


async def test_bare_async_code_is_strict(db):
    with pytest.raises(SynchronousOnlyOperation, match="run_sync"):
        Author.objects.count()


async def test_async_unsafe_can_be_allowed_as_in_stock_django(db, monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    assert Author.objects.count() == 0
    assert await Author.objects.acount() == 0


async def test_closing_a_connection_gives_it_back(db):
    def query():
        Author.objects.count()
        connection.close()
        assert connection.connection is None
        assert held() == 0

    await run_sync(query)
    assert statistics().idle == 1


async def test_closing_a_connection_in_a_transaction_closes_it(db):
    def query():
        with transaction.atomic():
            Author.objects.create(name="lost")
            connection.close()

    await run_sync(query)
    assert held() == 0
    assert await Author.objects.acount() == 0


async def test_stock_backend_is_refused_in_tasks(db):
    stock = StockWrapper({**connections["default"].settings_dict, **STOCK}, "stock")
    connections["stock"] = stock
    try:
        with pytest.raises(
            ImproperlyConfigured, match=r"evergreen\.db\.backends\.sqlite3"
        ):
            await run_sync(stock.ensure_connection)
    finally:
        del connections["stock"]


STOCK = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}


async def test_copied_wrapper_has_an_unpooled_connection(db):
    def query():
        copied = connection.copy()
        with copied.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert held() == 0
            await_(asyncio.sleep(0))
            assert cursor.fetchone() == (1,)
        copied.close()

    await run_sync(query)


async def test_copied_wrapper_inside_a_transaction_is_outside_of_it(db):
    """
    Who copies it asks for another connection.
    """

    def count():
        copied = connection.copy()
        try:
            with copied.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM app_author")
                return cursor.fetchone()[0]
        finally:
            copied.close()

    async with transaction.atomic():
        assert await run_sync(count) == 0
        if connection.vendor == "postgresql":
            # SQLite has one writer, which a reader would wait for.
            await Author.objects.acreate(name="1")
            assert await run_sync(count) == 0


async def test_transaction_of_a_copy_is_nobody_else_s(db):
    copied = connection.copy()

    def begin():
        copied.set_autocommit(False)
        with copied.cursor() as cursor:
            cursor.execute("SELECT 1")

    await run_sync(begin)
    try:
        assert await Author.objects.acount() == 0
        async with transaction.atomic():
            assert await Author.objects.acount() == 0
    finally:
        await run_sync(copied.close)
