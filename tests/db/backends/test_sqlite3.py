"""
The SQLite backend: files in worker threads, memory inline.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from django.db import (
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.backends.sqlite3.base import SQLiteCursorWrapper
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_evergreen.bridge import await_, run_sync
from django_evergreen.db import close_pools, statistics
from tests.app.models import Author
from tests.heartbeat import Heartbeat
from tests.threads import NewThreads

pytestmark = pytest.mark.only("sqlite")

# Counts up to a limit in SQL: a statement that takes as long as it's told to.
COUNT = (
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %s) "
    "SELECT count(*) FROM c"
)


def sql(query, *params):
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return cursor.fetchone()[0]


def workers():
    return [t for t in threading.enumerate() if "django-evergreen SQLite" in t.name]


async def test_each_connection_has_one_thread(db):
    author = await Author.objects.acreate(name="A")
    found = await asyncio.gather(
        *(Author.objects.aget(pk=author.pk) for _ in range(100))
    )
    assert found == [author] * 100
    assert len(workers()) == statistics().size <= 4


def test_threads_end_with_the_loop(run, db):
    async def main():
        await Author.objects.acreate(name="A")
        assert len(workers()) == 1

    run(main())
    assert workers() == []


async def test_long_statement_does_not_block_the_loop(db):
    async with Heartbeat() as heartbeat:
        assert await run_sync(sql, COUNT, 500_000) == 500_000
    assert heartbeat.late < 0.05


async def test_second_writer_waits_without_blocking_the_loop(db):
    first_holds, second_waits = asyncio.Event(), asyncio.Event()

    def hold():
        with transaction.atomic():
            Author.objects.create(name="first")
            first_holds.set()
            await_(second_waits.wait())
            await_(asyncio.sleep(0.1))

    async def second():
        await first_holds.wait()
        second_waits.set()
        await Author.objects.acreate(name="second")

    async with Heartbeat() as heartbeat:
        await asyncio.gather(run_sync(hold), second())
    assert await Author.objects.acount() == 2
    assert heartbeat.late < 0.05


async def test_second_writer_waits_no_longer_than_its_timeout(db):
    settings = connections["default"].settings_dict
    settings["OPTIONS"] = {"timeout": 0.2}
    try:
        first_holds, may_end = asyncio.Event(), asyncio.Event()

        def hold():
            with transaction.atomic():
                Author.objects.create(name="first")
                first_holds.set()
                await_(may_end.wait())

        task = asyncio.create_task(run_sync(hold))
        await first_holds.wait()
        started = time.monotonic()
        with pytest.raises(OperationalError, match="locked"):
            await Author.objects.acreate(name="second")
        assert time.monotonic() - started < 2
        may_end.set()
        await task
    finally:
        settings["OPTIONS"] = {}


async def test_cancelled_statement_is_interrupted(db):
    task = asyncio.create_task(run_sync(sql, COUNT, 10**12))
    while not statistics().holders:
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 0.1
    assert await run_sync(sql, "SELECT 1") == 1
    assert statistics().size == 1


async def test_statement_that_is_cancelled_before_it_begins_is_interrupted(
    db, monkeypatch
):
    """
    SQLite forgets an interruption that comes too early.
    """
    may_begin, events = threading.Event(), []
    execute = SQLiteCursorWrapper.execute

    def execute_late(self, query, *params):
        if "RECURSIVE" in query:
            events.append("about to begin")
            may_begin.wait(10)
        return execute(self, query, *params)

    monkeypatch.setattr(SQLiteCursorWrapper, "execute", execute_late)
    task = asyncio.create_task(run_sync(sql, COUNT, 10**12))
    while not events:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    may_begin.set()
    async with asyncio.timeout(4):
        await asyncio.wait([task])
    assert task.cancelled()
    assert statistics().idle == statistics().size == 1


async def test_cancelled_statement_in_a_transaction_rolls_back(db):
    def insert_and_count():
        with transaction.atomic():
            Author.objects.create(name="rolled back")
            sql(COUNT, 10**12)

    task = asyncio.create_task(run_sync(insert_and_count))
    while not statistics().holders:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Author.objects.acount() == 0
    assert statistics().idle == statistics().size == 1


async def test_cancelled_write_that_soon_ends_does_not_take_the_transaction_along(db):
    """
    SQLite rolls back all of a transaction when a write of it is interrupted.
    """
    begun, may_end = threading.Event(), threading.Event()

    def hold():
        begun.set()
        return may_end.wait(10)

    def insert_slowly():
        connection.connection.create_function("hold", 0, hold)
        with transaction.atomic():
            sql(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                "LIMIT 50) INSERT INTO app_author (name) SELECT hold() FROM n"
            )

    async with transaction.atomic():
        await Author.objects.acreate(name="kept")
        task = asyncio.create_task(run_sync(insert_slowly))
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        may_end.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert [a.name async for a in Author.objects.all()] == ["kept"]
    assert await Author.objects.acount() == 1


async def test_cancelled_wait_for_another_writer_ends_at_once_or_by_timeout(db):
    first_holds, may_end = asyncio.Event(), asyncio.Event()

    def hold():
        with transaction.atomic():
            Author.objects.create(name="first")
            first_holds.set()
            await_(may_end.wait())

    holder = asyncio.create_task(run_sync(hold))
    await first_holds.wait()
    waiter = asyncio.create_task(Author.objects.acreate(name="second"))
    await asyncio.sleep(0.05)
    waiter.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await holder
    assert [a.name async for a in Author.objects.all()] == ["first"]


async def test_rows_are_fetched_ahead_and_all_arrive(db):
    await Author.objects.abulk_create(Author(name=str(n)) for n in range(1_234))

    def fetch():
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM app_author ORDER BY id")
            first = cursor.fetchone()
            some = cursor.fetchmany(150)
            rows = iter(cursor)
            two = [next(rows), next(rows)]
            rest = cursor.fetchall()
            assert cursor.fetchone() is None
            assert cursor.fetchmany(5) == cursor.fetchall() == []
        return [int(name) for (name,) in [first, *some, *two, *rest]]

    assert await run_sync(fetch) == list(range(1_234))


async def test_rows_that_a_cancelled_task_did_not_get_do_not_lock_the_file(db):
    """
    Only the thread knows of its cursor that there are more.
    """
    await Author.objects.abulk_create(Author(name=f"{n}") for n in range(300))

    def read():
        connection.ensure_connection()
        connections.append(connection.connection)
        cursors.append(cursor := connection.connection.cursor())
        cursor.execute("SELECT * FROM app_author")

    connections, cursors, was_read = [], [], threading.Event()
    task = asyncio.create_task(run_sync(read))
    while not cursors:
        await asyncio.sleep(0)
    connections[0]._worker.post(was_read.set)
    assert was_read.wait(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    connections[0].close()
    connections[0].join()
    name = connection.settings_dict["NAME"]
    with contextlib.closing(sqlite3.connect(name, timeout=0)) as another:
        another.execute("BEGIN EXCLUSIVE")
        another.rollback()


async def test_transaction_ends_with_its_connection_though_a_cursor_is_kept(db):
    """
    As the traceback of an error keeps it.
    """

    def write():
        connection.ensure_connection()
        driver = connection.connection
        driver.execute("BEGIN IMMEDIATE")
        cursor = driver.cursor()
        with pytest.raises(sqlite3.IntegrityError):
            for _ in range(2):
                cursor.execute("INSERT INTO app_author (id, name) VALUES (1, 'Author')")
        return driver, cursor

    driver, cursor = await run_sync(write)
    driver.close()
    driver.join()
    name = connection.settings_dict["NAME"]
    with contextlib.closing(sqlite3.connect(name, timeout=0)) as another:
        another.execute("BEGIN IMMEDIATE")
        another.rollback()
    del cursor


async def test_executemany_takes_a_generator_that_queries(db):
    await Author.objects.acreate(name="A")

    def insert():
        with connection.cursor() as cursor:
            rows = ((f"{n} of {Author.objects.count()}",) for n in range(3))
            cursor.executemany("INSERT INTO app_author (name) VALUES (%s)", rows)
            return cursor.rowcount

    assert await run_sync(insert) == 3
    assert await Author.objects.acount() == 4


async def test_errors_keep_their_type_and_the_connection_its_worth(db):
    with pytest.raises(OperationalError, match="no such table"):
        await run_sync(sql, "SELECT * FROM nowhere")
    assert await run_sync(sql, "SELECT 1") == 1
    assert statistics().size == 1


async def test_script_of_several_statements(db):
    def run_script():
        with connection.cursor():
            connection.connection.executescript(
                "INSERT INTO app_author (name) VALUES ('A');"
                "INSERT INTO app_author (name) VALUES ('B');"
            )

    await run_sync(run_script)
    assert await Author.objects.acount() == 2


async def test_stale_cursor_is_refused(db):
    def use_it_late():
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        await_(asyncio.sleep(0))
        cursor.execute("SELECT 2")

    with pytest.raises(InterfaceError, match=r"with connection.cursor\(\) as cursor"):
        await run_sync(use_it_late)


async def test_closing_the_driver_drops_the_connection(db):
    def insert_and_wait():
        with transaction.atomic():
            Author.objects.create(name="rolled back")
            await_(asyncio.Event().wait())

    driver = run_sync(insert_and_wait)
    waits_for = driver.send(None)
    while "Event" not in str(driver.cr_await):
        waits_for._asyncio_future_blocking = False
        await waits_for
        waits_for = driver.send(None)
    driver.close()
    assert statistics().size == 0
    assert await Author.objects.acount() == 0


async def test_connection_that_was_closed_says_so(db):
    def use_closed():
        with connection.cursor() as cursor:
            connection.connection.close()
            cursor.execute("SELECT 1")

    with pytest.raises(Exception, match="closed"):
        await run_sync(use_closed)
    assert await run_sync(sql, "SELECT 1") == 1


# In memory.


@pytest.fixture
def in_memory(db):
    settings = connections["default"].settings_dict
    name, settings["NAME"] = settings["NAME"], ":memory:"
    yield
    settings["NAME"] = name


async def test_database_in_memory_is_used_inline(in_memory):
    threads = NewThreads()

    def make():
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (n int)")
            cursor.execute("INSERT INTO t VALUES (1), (2)")

    await run_sync(make)
    sums = await asyncio.gather(
        *(run_sync(sql, "SELECT sum(n) FROM t") for _ in range(20))
    )
    assert sums == [3] * 20
    assert not threads.look()
    assert statistics().size == statistics().max_size == 1


async def test_database_in_memory_outlives_a_task_that_dies_in_a_transaction(
    in_memory,
):
    await run_sync(lambda: connection.cursor().execute("CREATE TABLE t (n int)"))

    async def die():
        def begin():
            transaction.set_autocommit(False)
            connection.cursor().execute("INSERT INTO t VALUES (1)")

        await run_sync(begin)

    await asyncio.create_task(die())
    assert await run_sync(sql, "SELECT count(*) FROM t") == 0


async def test_database_in_memory_outlives_changed_settings(in_memory):
    await run_sync(lambda: connection.cursor().execute("CREATE TABLE t (n int)"))
    with override_settings(TIME_ZONE="Europe/Berlin"):
        assert await run_sync(sql, "SELECT count(*) FROM t") == 0


async def test_factory_option_is_refused_in_the_bridge(db):
    settings = connections["default"].settings_dict
    settings["OPTIONS"] = {"factory": sqlite3.Connection}
    try:
        with pytest.raises(Exception, match="Remove the option"):
            await run_sync(sql, "SELECT 1")
    finally:
        settings["OPTIONS"] = {}


@pytest.mark.parametrize("mode", [None, "IMMEDIATE"])
async def test_begin_is_in_the_log_with_the_transaction_mode(db, monkeypatch, mode):
    def write():
        connection.ensure_connection()
        connection.transaction_mode = mode
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            assert not Author.objects.exists()
        return [query["sql"] for query in queries]

    first, *_, last = await run_sync(write)
    assert first == ("BEGIN" if mode is None else f"BEGIN {mode}")
    assert last == "COMMIT"


async def test_transaction_mode_of_the_settings_is_used(db):
    """
    With IMMEDIATE, a transaction that has written nothing yet locks out others.
    """
    options = connection.settings_dict["OPTIONS"]
    connection.settings_dict["OPTIONS"] = {
        **options,
        "transaction_mode": "IMMEDIATE",
        "timeout": 0.05,
    }
    await close_pools()
    try:
        async with transaction.atomic():
            with pytest.raises(OperationalError, match="locked"):
                await asyncio.create_task(
                    Author.objects.acreate(name="1"), context=contextvars.Context()
                )
    finally:
        connection.settings_dict["OPTIONS"] = options
        await close_pools()


TWO_TEST_DATABASES = """
import asyncio, sys
import django
from django.conf import settings
settings.configure(
    DATABASES={"default": {
        "ENGINE": "django_evergreen.db.backends.sqlite3",
        "NAME": sys.argv[1],
        "TEST": {"NAME": sys.argv[1] + ".test"},
    }},
    INSTALLED_APPS=["django_evergreen", "django.contrib.contenttypes"],
)
django.setup()
from django.contrib.contenttypes.models import ContentType
from django.test.runner import DiscoverRunner
from django_evergreen.bridge import run_sync

def run():
    runner = DiscoverRunner(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    ContentType.objects.create(app_label="a", model="b")
    print(ContentType.objects.filter(app_label="a").count())
    runner.teardown_databases(databases)

async def main():
    await run_sync(run)
    await run_sync(run)

asyncio.run(main())
"""


def test_second_test_database_of_a_run_is_another_file(tmp_path):
    """
    The pool has no connection to the first one, which was removed.
    """
    done = subprocess.run(
        [sys.executable, "-c", TWO_TEST_DATABASES, str(tmp_path / "db.sqlite3")],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["1", "1"]
