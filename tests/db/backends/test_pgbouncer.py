"""
PostgreSQL behind PgBouncer, which lends a connection of the server to a client
for one transaction at a time: 20 of Django's share 5 of the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest
from django.db import (
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from django.db.models import F, Sum

from django_evergreen.bridge import run_sync
from django_evergreen.db import hold_connection, statistics
from tests.app.models import Author, Book
from tests.db.late_cancels import cancel_at_random
from tests.fix_pgbouncer import POOL_SIZE, SERVER_CONNECTIONS, SETTINGS

pytestmark = pytest.mark.only("postgresql")


@pytest.fixture
def observe(server, db):
    """
    A function that runs SQL on the server itself, blocking.
    """
    with connect(server) as observer:
        yield lambda sql, *params: observer.execute(sql, params).fetchall()


@pytest.fixture
def stranger(pgbouncer):
    """
    Another client of PgBouncer, which blocks.
    """
    with connect(pgbouncer) as stranger:
        yield stranger


def connect(server):
    return psycopg.connect(
        host=server.host,
        port=server.port,
        user="postgres",
        dbname=connection.settings_dict["NAME"],
        autocommit=True,
        prepare_threshold=None,
    )


@contextlib.contextmanager
def changed_settings(**settings):
    """
    Change the settings of the test database for pools that are yet to be made.
    """
    settings_dict = connections["default"].settings_dict
    before = copy.deepcopy(settings_dict)
    settings_dict["OPTIONS"].update(settings.pop("OPTIONS", {}))
    settings_dict.update(settings)
    try:
        yield
    finally:
        settings_dict.clear()
        settings_dict.update(before)


def execute(query, *params):
    with connection.cursor() as cursor:
        cursor.execute(query, params)


def sql(query, *params):
    """
    Run one statement in the bridge and return its first value.
    """
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return cursor.fetchone()[0]


def backend_pid():
    return sql("SELECT pg_backend_pid()")


def running(observe, text):
    """
    Return the backends of the server that execute a statement with this text.
    """
    rows = observe(
        "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s "
        "AND pid <> pg_backend_pid()",
        f"%{text}%",
    )
    return {pid for (pid,) in rows}


def server_connections(observe):
    rows = observe(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    return {pid for (pid,) in rows}


def waiting_in_pgbouncer(ask_pgbouncer):
    return sum(pool["cl_waiting"] for pool in ask_pgbouncer("SHOW POOLS"))


async def until(condition):
    """
    Let the loop run until a condition holds.
    """
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


# PgBouncer itself.


@pytest.mark.slow
def test_it_ends_with_the_tests_even_when_they_are_killed(server, stopped_pgbouncer):
    tests = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE, server.host, str(server.port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    directory, pid = tests.stdout.readline().split()
    assert psutil.pid_exists(int(pid))
    assert Path(directory).exists()
    tests.kill()
    tests.communicate()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(int(pid)) or Path(directory).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


STARTS_ONE = """
import sys
import time
from types import SimpleNamespace
from tests.pgbouncer_server import PgBouncer

pgbouncer = PgBouncer(SimpleNamespace(host=sys.argv[1], port=sys.argv[2]))
pgbouncer.start()
print(pgbouncer.directory, pgbouncer.pid, flush=True)
time.sleep(60)
"""


async def test_it_pools_transactions(pgbouncer, ask_pgbouncer, stranger):
    stranger.execute("SELECT 1")
    modes = {row["database"]: row["pool_mode"] for row in ask_pgbouncer("SHOW POOLS")}
    assert modes[connection.settings_dict["NAME"]] == "transaction"


# Many at once.


async def transfer(source, target, amount):
    async with transaction.atomic():
        before = await run_sync(backend_pid)
        accounts = Book.objects.select_for_update().filter(pk__in=[source, target])
        assert len([book async for book in accounts]) == 2
        await Book.objects.filter(pk=source).aupdate(rating=F("rating") - amount)
        await Book.objects.filter(pk=target).aupdate(rating=F("rating") + amount)
        assert await run_sync(backend_pid) == before
    return before


async def create_and_get(name):
    created = await Author.objects.acreate(name=name)
    found = await Author.objects.aget(pk=created.pk)
    assert found.name == name
    return await run_sync(backend_pid)


@pytest.mark.slow
async def test_1000_requests_at_once_share_five_connections_of_the_server(
    pgbouncer, observe
):
    author = await Author.objects.acreate(name="owner")
    books = [Book(title=str(n), author=author, rating=n) for n in range(10)]
    pks = [book.pk for book in await Book.objects.abulk_create(books)]
    expected = list(range(10))

    async def request(number):
        if number % 2:
            return await create_and_get(str(number))
        source, target = number % 10, number // 10 % 10
        target += source == target
        expected[source] -= number
        expected[target % 10] += number
        return await transfer(pks[source], pks[target % 10], number)

    pids = await asyncio.gather(*(request(number) for number in range(1000)))
    ratings = Book.objects.order_by("pk").values_list("rating", flat=True)
    assert [rating async for rating in ratings] == expected
    assert (await Book.objects.aaggregate(sum=Sum("rating")))["sum"] == 45
    assert await Author.objects.acount() == 501
    # PgBouncer has closed none of them, so these are all that there ever were.
    assert len(server_connections(observe)) <= SERVER_CONNECTIONS
    assert set(pids) <= server_connections(observe)
    s = statistics()
    assert (s.waiting, s.holders) == (0, ())
    assert s.idle == s.size == POOL_SIZE


# Transactions.


async def names():
    return sorted(
        [name async for name in Author.objects.values_list("name", flat=True)]
    )


async def test_commit_rollback_and_savepoints(pgbouncer):
    async with transaction.atomic():
        await Author.objects.acreate(name="kept")
        with contextlib.suppress(ZeroDivisionError):
            async with transaction.atomic():
                await Author.objects.acreate(name="of the savepoint")
                raise ZeroDivisionError
        assert await names() == ["kept"]
    with contextlib.suppress(ZeroDivisionError):
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            raise ZeroDivisionError
    assert await names() == ["kept"]


async def test_on_commit_runs_after_the_commit_only(pgbouncer, stranger):
    seen = []

    async def look():
        seen.append(stranger.execute("SELECT name FROM app_author").fetchall())

    async with transaction.atomic():
        await Author.objects.acreate(name="A")
        transaction.on_commit(lambda: seen.append("first"))
        transaction.on_commit(look)
        with contextlib.suppress(ZeroDivisionError):
            async with transaction.atomic():
                transaction.on_commit(lambda: seen.append("rolled back"))
                raise ZeroDivisionError
        assert seen == []
    assert seen == ["first", [("A",)]]


@pytest.mark.parametrize("fails", [False, True])
async def test_tasks_started_in_a_transaction_belong_to_it(pgbouncer, fails):
    async def write(number):
        await Author.objects.acreate(name=str(number))
        return await run_sync(backend_pid)

    with contextlib.suppress(ZeroDivisionError):
        async with transaction.atomic():
            pids = await asyncio.gather(*(write(number) for number in range(50)))
            assert set(pids) == {await run_sync(backend_pid)}
            if fails:
                raise ZeroDivisionError
    assert await Author.objects.acount() == (0 if fails else 50)


async def test_two_transactions_at_once_do_not_mix(pgbouncer):
    both_have_written = asyncio.Barrier(2)

    async def write(name, *, fails):
        with contextlib.suppress(ZeroDivisionError):
            async with transaction.atomic():
                await Author.objects.acreate(name=name)
                await both_have_written.wait()
                assert await names() == [name]
                pid = await run_sync(backend_pid)
                await both_have_written.wait()
                if fails:
                    raise ZeroDivisionError
        return pid

    one, other = await asyncio.gather(
        write("kept", fails=False), write("lost", fails=True)
    )
    assert one != other
    assert await names() == ["kept"]


async def test_transactions_beyond_the_servers_connections_wait_their_turn(
    pgbouncer, ask_pgbouncer
):
    may_end = asyncio.Event()

    async def write(number):
        async with transaction.atomic():
            pid = await run_sync(backend_pid)
            await Author.objects.acreate(name=str(number))
            await may_end.wait()
            assert await run_sync(backend_pid) == pid

    tasks = [asyncio.create_task(write(number)) for number in range(50)]
    waiting = POOL_SIZE - SERVER_CONNECTIONS
    await until(lambda: waiting_in_pgbouncer(ask_pgbouncer) == waiting)
    may_end.set()
    await asyncio.gather(*tasks)
    assert await Author.objects.acount() == 50


@pytest.mark.slow
async def test_waiting_too_long_in_pgbouncer_is_an_error_that_says_so(pgbouncer):
    pgbouncer.stop()
    pgbouncer.start(**SETTINGS, query_wait_timeout=1)
    async with all_server_connections_in_use():
        with pytest.raises(OperationalError, match="query_wait_timeout"):
            await Author.objects.acount()
        assert statistics().size == SERVER_CONNECTIONS
    await recovered()


# Cancelling.


async def test_cancelled_query_is_gone_from_the_server(pgbouncer, observe):
    for _ in range(10):
        task = asyncio.create_task(run_sync(sql, "SELECT pg_sleep(60)"))
        await until(lambda: running(observe, "pg_sleep(60)"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not running(observe, "pg_sleep(60)")
        assert await run_sync(sql, "SELECT 1") == 1
    assert statistics().idle == statistics().size == 1


async def test_cancelled_query_in_a_transaction_rolls_back(pgbouncer, observe):
    async def insert_and_wait():
        async with transaction.atomic():
            await Author.objects.acreate(name="rolled back")
            async with transaction.atomic():
                await run_sync(sql, "SELECT pg_sleep(60)")

    task = asyncio.create_task(insert_and_wait())
    await until(lambda: running(observe, "pg_sleep(60)"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not running(observe, "pg_sleep(60)")
    assert await names() == []
    assert statistics().idle == statistics().size == 1


async def test_statement_cancelled_while_it_waits_in_pgbouncer_never_runs(
    pgbouncer, ask_pgbouncer, monkeypatch
):
    """
    PgBouncer ignores the cancellation of what it has not sent to the server yet:
    only closing the connection is left. It notices that when the turn comes.
    """
    from django_evergreen.db.backends.postgresql import _connection

    monkeypatch.setattr(_connection, "CANCEL_TIMEOUT", 0.2)
    # What waits is not to be what Django sends on a new connection.
    await recovered()
    size = statistics().size
    async with all_server_connections_in_use():
        task = asyncio.create_task(Author.objects.acreate(name="cancelled"))
        await until(lambda: waiting_in_pgbouncer(ask_pgbouncer) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert statistics().size == size - 1
    await until(lambda: waiting_in_pgbouncer(ask_pgbouncer) == 0)
    assert await names() == []


@contextlib.asynccontextmanager
async def all_server_connections_in_use():
    may_end, hold = asyncio.Event(), asyncio.Barrier(SERVER_CONNECTIONS + 1)

    async def occupy():
        async with transaction.atomic():
            await run_sync(backend_pid)
            await hold.wait()
            await may_end.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(SERVER_CONNECTIONS):
            group.create_task(occupy())
        await hold.wait()
        yield
        may_end.set()


async def test_1000_queries_that_time_out_leave_everything_whole(
    pgbouncer, observe, ask_pgbouncer
):
    async def query():
        async with asyncio.timeout(0.02):
            await run_sync(sql, "SELECT pg_sleep(60)")

    results = await asyncio.gather(
        *(query() for _ in range(1000)), return_exceptions=True
    )
    assert {type(result) for result in results} == {TimeoutError}
    assert not running(observe, "pg_sleep(60)")
    assert await run_sync(sql, "SELECT 1") == 1
    s = statistics()
    assert (s.waiting, s.holders) == (0, ())
    assert waiting_in_pgbouncer(ask_pgbouncer) == 0
    assert len(server_connections(observe)) <= SERVER_CONNECTIONS


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_late_cancellation_never_ends_another_statement(pgbouncer, observe):
    outcomes = await cancel_at_random(10_000, workers=8, seed=7)
    assert outcomes.total() == 10_000
    assert min(outcomes["cancelled"], outcomes["done"]) > 1000
    # It has replaced none of its connections to get there.
    assert statistics().idle == statistics().size == 8
    assert not running(observe, "pg_sleep")


# Session state.

KEPT_BY_THE_SERVER = {
    "setting": (
        "SET work_mem = '9MB'",
        "SELECT count(*) FROM pg_settings WHERE name = 'work_mem' AND setting = '9216'",
    ),
    "temporary table": (
        "CREATE TEMPORARY TABLE passing ()",
        "SELECT count(to_regclass('passing'))",
    ),
    "advisory lock": (
        "SELECT pg_advisory_lock(4711)",
        "SELECT count(*) FROM pg_locks WHERE objid = 4711 AND pid = pg_backend_pid()",
    ),
    "LISTEN": (
        "LISTEN channel",
        "SELECT count(*) FROM pg_listening_channels()",
    ),
    "prepared statement": (
        "PREPARE plan AS SELECT 1",
        "SELECT count(*) FROM pg_prepared_statements",
    ),
}
KEPT_IN_A_TRANSACTION = {
    "setting": "SET LOCAL work_mem = '9MB'",
    "temporary table": "CREATE TEMPORARY TABLE passing () ON COMMIT DROP",
    "advisory lock": "SELECT pg_advisory_xact_lock(4711)",
}


@pytest.mark.parametrize("kind", KEPT_BY_THE_SERVER)
async def test_session_state_outside_a_transaction_passes_to_a_stranger(
    pgbouncer, stranger, kind
):
    """
    Nobody could prevent it: which is why hold_connection() is refused.
    """
    make, count = KEPT_BY_THE_SERVER[kind]
    await run_sync(execute, make)
    with stranger.transaction():
        # The stranger gets the connection of the server that was used last.
        assert stranger.execute(count).fetchone() == (1,)
        assert await run_sync(sql, count) == 0


@pytest.mark.parametrize("kind", KEPT_IN_A_TRANSACTION)
async def test_state_of_a_transaction_is_kept_to_its_end(pgbouncer, stranger, kind):
    _, count = KEPT_BY_THE_SERVER[kind]
    async with transaction.atomic():
        await run_sync(execute, KEPT_IN_A_TRANSACTION[kind])
        assert stranger.execute(count).fetchone() == (0,)
        assert await run_sync(sql, count) == 1
    assert await run_sync(sql, count) == 0
    assert stranger.execute(count).fetchone() == (0,)


async def test_hold_connection_is_refused_outside_a_transaction(pgbouncer):
    with pytest.raises(NotSupportedError, match="hold_connection"):
        async with hold_connection():
            pytest.fail("It was not refused.")
    assert statistics().holders == ()


async def test_hold_connection_is_refused_in_sync_code_of_the_bridge(pgbouncer):
    def hold():
        with hold_connection():
            pytest.fail("It was not refused.")

    with pytest.raises(NotSupportedError, match="hold_connection"):
        await run_sync(hold)


async def test_hold_connection_is_good_for_the_transaction_around_it(pgbouncer):
    async with transaction.atomic(), hold_connection():
        await run_sync(execute, "SET LOCAL work_mem = '9MB'")
        assert await run_sync(sql, "SHOW work_mem") == "9MB"
    assert await run_sync(sql, "SHOW work_mem") == "4MB"
    assert statistics().holders == ()


async def test_time_zone_that_django_sets_is_the_connection_s_own(pgbouncer, stranger):
    """
    PgBouncer knows of this setting and a few others: it sets them again for each
    client that it serves.
    """
    assert await run_sync(sql, "SHOW TimeZone") == "UTC"
    stranger.execute("SET TimeZone = 'Asia/Tokyo'")
    pid = await run_sync(backend_pid)
    assert stranger.execute("SELECT pg_backend_pid()").fetchone() == (pid,)
    assert await run_sync(sql, "SHOW TimeZone") == "UTC"
    assert stranger.execute("SHOW TimeZone").fetchone() == ("Asia/Tokyo",)


@pytest.mark.parametrize("server_side_binding", [False, True])
async def test_nothing_is_prepared_on_the_server(pgbouncer, server_side_binding):
    """
    psycopg prepares what is repeated, but Django tells it not to; and parameters
    bound by the server need only the statement without a name, which ends with
    the transaction.
    """
    with changed_settings(OPTIONS={"server_side_binding": server_side_binding}):
        for _ in range(20):
            await asyncio.gather(
                *(Author.objects.filter(name="A").acount() for _ in range(10))
            )
        async with transaction.atomic():
            count = "SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql"
            assert await run_sync(sql, count) == 0


async def test_statements_that_the_settings_have_prepared_need_a_new_pgbouncer(
    pgbouncer, ask_pgbouncer
):
    """
    From 1.21 on it can follow them, with its setting max_prepared_statements.
    """
    config = {row["key"]: row["value"] for row in ask_pgbouncer("SHOW CONFIG")}
    follows = int(config.get("max_prepared_statements", 0)) > 0
    refused = pytest.raises(
        (OperationalError, ProgrammingError), match="prepared statement"
    )
    with changed_settings(
        OPTIONS={"prepare_threshold": 0, "server_side_binding": True}
    ):
        with contextlib.nullcontext() if follows else refused:
            # Each of the connections gives its first statement the same name.
            await asyncio.gather(*(Author.objects.acount() for _ in range(20)))


async def test_rows_are_iterated_without_a_cursor_on_the_server(pgbouncer, stranger):
    """
    DISABLE_SERVER_SIDE_CURSORS reads all rows at once, and needs no connection
    while they are iterated.
    """
    await Author.objects.abulk_create(Author(name=str(n)) for n in range(300))
    seen = 0
    async for _ in Author.objects.aiterator(chunk_size=100):
        seen += 1
        assert statistics().holders == ()
        if seen in (1, 150, 250):
            cursors = stranger.execute("SELECT count(*) FROM pg_cursors").fetchone()
            assert cursors == (0,)
    assert seen == 300


# psycopg closes a cursor by telling the server, which doesn't know it any more.
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
async def test_cursor_on_the_server_is_lost_without_that_setting(pgbouncer, stranger):
    await Author.objects.abulk_create(Author(name=str(n)) for n in range(300))
    with changed_settings(DISABLE_SERVER_SIDE_CURSORS=False):
        rows = Author.objects.aiterator(chunk_size=100)
        await anext(rows)
        # The stranger gets the connection of the server that has the cursor.
        with stranger.transaction():
            with pytest.raises(
                Exception, match=r'"_django_\w+" does not exist'
            ) as caught:
                [row async for row in rows]
            assert await Author.objects.acount() == 300
    error = caught.type
    # The cursor is to go before pytest looks for warnings.
    del caught
    gc.collect()
    assert error is ProgrammingError
    assert statistics().holders == ()


# Losing PgBouncer, and the server behind it.


def insert_slowly(number):
    with transaction.atomic():
        Author.objects.create(name=str(number))
        sql("SELECT pg_sleep(0.05)")
    return str(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_restart_under_50_tasks_is_one_error_for_each_then_recovery(
    pgbouncer, observe, number
):
    tasks = [asyncio.create_task(run_sync(insert_slowly, n)) for n in range(50)]
    await until(lambda: len(running(observe, "pg_sleep")) == SERVER_CONNECTIONS)
    await asyncio.to_thread(restart, pgbouncer, number)
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} <= {str, OperationalError}
    assert OperationalError in {type(result) for result in results}
    await recovered()
    # What PgBouncer had begun has ended on the server, too.
    await until(lambda: not running(observe, "pg_sleep"))
    # An error may hide a COMMIT; but nothing is lost, and nothing done twice.
    rows = await names()
    assert len(set(rows)) == len(rows)
    assert {result for result in results if isinstance(result, str)} <= set(rows)


def restart(pgbouncer, number):
    pgbouncer.stop(number)
    pgbouncer.start(**SETTINGS)


async def recovered():
    await asyncio.gather(*(Author.objects.acount() for _ in range(50)))
    s = statistics()
    assert (s.waiting, s.holders) == (0, ())
    assert s.idle == s.size <= POOL_SIZE


async def test_restart_at_rest_goes_unnoticed(pgbouncer):
    await asyncio.gather(*(Author.objects.acount() for _ in range(50)))
    await asyncio.to_thread(restart, pgbouncer, signal.SIGKILL)
    await recovered()


async def test_connection_of_the_server_that_ends_at_rest_goes_unnoticed(
    pgbouncer, observe
):
    pid = await run_sync(backend_pid)
    observe("SELECT pg_terminate_backend(%s, 5000)", pid)
    assert await run_sync(backend_pid) != pid
    assert statistics().size == 1


async def test_connection_of_the_server_that_ends_in_a_query_is_one_error(
    pgbouncer, observe
):
    task = asyncio.create_task(run_sync(sql, "SELECT pg_sleep(60)"))
    await until(lambda: running(observe, "pg_sleep(60)"))
    (pid,) = running(observe, "pg_sleep(60)")
    observe("SELECT pg_terminate_backend(%s)", pid)
    with pytest.raises(OperationalError):
        await task
    await recovered()
