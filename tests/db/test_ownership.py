"""
Wrappers that are used by others than their task.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import pytest
from django.db import DatabaseError, Error, connection, connections, transaction
from django.db.backends.signals import connection_created

from django_evergreen.bridge import run_sync
from django_evergreen.db import statistics
from django_evergreen.db._hooks import ConnectionState
from tests.app.models import Author

ENDLESS = {
    "postgresql": "SELECT pg_sleep(1000)",
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) "
    "SELECT count(*) FROM c",
}


def in_a_thread(fn):
    """
    Call it in a thread while this one, and so the loop, is blocked.
    """
    outcome = []

    def run():
        try:
            outcome.append(fn())
        except Exception as error:
            outcome.append(error)
        finally:
            with contextlib.suppress(AttributeError):
                del connections["default"]

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return outcome[0]


@contextlib.contextmanager
def lent():
    """
    Allow other threads to use the wrapper, as Django's live server does.
    """
    connection.inc_thread_sharing()
    try:
        yield connections["default"]
    finally:
        connection.dec_thread_sharing()


def count_by(wrapper):
    def count():
        connections["default"] = wrapper
        return Author.objects.count()

    return count


async def assert_pool_is_whole():
    s = statistics()
    # One came back only when the loop ran again, so there may be another.
    assert s.idle == s.size <= 2


async def test_thread_uses_no_wrapper_of_a_task(db):
    def use():
        return in_a_thread(count_by(connections["default"]))

    error = await run_sync(use)
    assert isinstance(error, DatabaseError)
    assert "can be used only by that task" in str(error)


@pytest.mark.parametrize("is_attached", [False, True])
async def test_thread_uses_a_wrapper_that_is_lent(db, is_attached):
    await Author.objects.acreate(name="1")

    def use():
        if is_attached:
            connection.ensure_connection()
        with lent() as wrapper:
            return in_a_thread(count_by(wrapper))

    assert await run_sync(use) == 1
    assert await Author.objects.acount() == 1
    await assert_pool_is_whole()


async def test_thread_has_transactions_by_a_wrapper_that_is_lent(db):
    def write():
        connections["default"] = wrappers[0]
        with transaction.atomic():
            Author.objects.create(name="1")
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            Author.objects.create(name="2")
            raise ZeroDivisionError

    def use():
        with lent() as wrapper:
            wrappers.append(wrapper)
            return in_a_thread(write)

    wrappers = []
    assert await run_sync(use) is None
    assert [author.name async for author in Author.objects.all()] == ["1"]


async def test_thread_closes_a_wrapper_that_is_lent(db):
    def use():
        connection.ensure_connection()
        with lent() as wrapper:
            assert in_a_thread(wrapper.close) is None
            return wrapper.connection

    assert await run_sync(use) is None
    assert await Author.objects.acount() == 0
    await assert_pool_is_whole()


async def test_abandoned_cursor_is_closed_when_the_wrapper_is_lent(db):
    await Author.objects.abulk_create(Author(name=f"{n}") for n in range(300))

    def use():
        authors = Author.objects.iterator(chunk_size=10)
        next(authors)
        del authors
        gc.collect()
        with lent() as wrapper:
            return in_a_thread(count_by(wrapper))

    assert await run_sync(use) == 300
    async with asyncio.timeout(10):
        while statistics().holders or statistics().idle < statistics().size:
            await asyncio.sleep(0)
    # On SQLite an open statement would lock the file, on PostgreSQL be seen.
    await Author.objects.acreate(name="next")
    if connection.vendor == "postgresql":
        assert await run_sync(open_cursors) == []


def open_cursors():
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_cursors WHERE name LIKE '_django%%'")
        return cursor.fetchall()


async def test_wrapper_is_not_lent_inside_a_transaction(db):
    """
    The thread would not see what was written in it.
    """

    def use():
        with transaction.atomic():
            Author.objects.create(name="1")
            with lent() as wrapper:
                return in_a_thread(count_by(wrapper))

    assert isinstance(await run_sync(use), DatabaseError)
    assert await Author.objects.acount() == 1


async def test_wrapper_is_not_lent_in_the_middle_of_a_query(db):
    """
    The thread would end the connection that it runs on.
    """

    def use():
        with lent() as wrapper:
            wrappers.append(wrapper)
            execute_endless(connection)

    wrappers = []
    task = asyncio.create_task(run_sync(use))
    while not (wrappers and is_in_use(wrappers[0])):
        await asyncio.sleep(0)
    try:
        error = in_a_thread(count_by(wrappers[0]))
        assert isinstance(error, DatabaseError)
        assert "nor in the middle of a query" in str(error)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    await assert_pool_is_whole()


def execute_endless(connection):
    with connection.cursor() as cursor:
        cursor.execute(ENDLESS[connection.vendor])
        cursor.fetchall()


def is_in_use(wrapper):
    if wrapper.connection is None:
        return False
    return wrapper.connection_state(wrapper.connection) is ConnectionState.IN_USE


async def test_connection_of_a_thread_is_kept_while_the_wrapper_is_lent(db):
    """
    The thread may be in the middle of a statement with it.
    """

    def use():
        with lent() as wrapper:
            assert in_a_thread(count_by(wrapper)) == 0
            of_thread = wrapper.connection
            assert Author.objects.count() == 0
            assert wrapper.connection is of_thread
        assert Author.objects.count() == 0
        return wrapper.connection is of_thread

    assert not await run_sync(use)
    await assert_pool_is_whole()


async def test_lost_transaction_is_not_begun_anew(db):
    """
    Its work is lost, which must not pass unnoticed.
    """

    def work():
        transaction.set_autocommit(False)
        try:
            Author.objects.create(name="lost")
            connection.connection.close()
            with pytest.raises(Error):
                transaction.set_autocommit(False)
        finally:
            connection.close()

    await run_sync(work)
    assert await Author.objects.acount() == 0


async def test_connection_after_close_is_announced(db):
    """
    Although it comes from the pool: its receivers may set up the session.
    """

    def use():
        connection.ensure_connection()
        connection.close()
        connection.ensure_connection()
        return connection.connection

    announced = []

    def receiver(connection, **kwargs):
        announced.append(connection.connection)

    await Author.objects.acount()
    connection_created.connect(receiver)
    try:
        used = await run_sync(use)
        assert announced == [used]
        await Author.objects.acount()
        assert announced == [used]
    finally:
        connection_created.disconnect(receiver)


async def test_connection_that_fails_its_health_check_is_replaced(db, monkeypatch):
    def use():
        connection.ensure_connection()
        first = connection.connection
        connection.close_if_unusable_or_obsolete()
        assert Author.objects.count() == 0
        return first is connection.connection

    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    assert await run_sync(use)
    wrapper = await run_sync(lambda: connections["default"])
    monkeypatch.setattr(wrapper, "is_usable", lambda: False)
    assert not await run_sync(use)
