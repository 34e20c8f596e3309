"""
The PostgreSQL backend: nothing blocks the loop, nothing is left running.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import socket
import threading
import time

import anyio
import psycopg
import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import (
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.test import override_settings
from psycopg.pq import ConnStatus

from django_evergreen.bridge import await_, no_switch, run_sync
from django_evergreen.db import hold_connection, statistics
from tests.app.models import Author
from tests.heartbeat import Heartbeat
from tests.silent_server import SilentServer
from tests.threads import NewThreads

pytestmark = pytest.mark.only("postgresql")


@pytest.fixture
def observe(server, db):
    """
    A function that runs SQL on a connection of its own, blocking.
    """
    with psycopg.connect(
        host=server.host,
        port=server.port,
        user="postgres",
        dbname=connection.settings_dict["NAME"],
        autocommit=True,
    ) as observer:
        yield lambda sql, *params: observer.execute(sql, params).fetchall()
        observer.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@contextlib.contextmanager
def pool_options(**options):
    """
    Change the settings of the test database for pools that are yet to be made.
    """
    settings = connections["default"].settings_dict
    before = copy.deepcopy(settings)
    settings["OPTIONS"] = {**settings["OPTIONS"], **options.pop("OPTIONS", {})}
    settings["OPTIONS"]["pool"] = {**settings["OPTIONS"].get("pool", {}), **options}
    try:
        yield settings
    finally:
        settings.clear()
        settings.update(before)


def sql(query, *params):
    """
    Run one statement in the bridge and return its first value.
    """
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return cursor.fetchone()[0]


def others_running(observe, text):
    return observe(
        "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s "
        "AND pid <> pg_backend_pid()",
        f"%{text}%",
    )


async def until(condition):
    """
    Let the loop run until a condition holds.
    """
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


# Waiting.


async def test_500_queries_at_once_use_no_thread_and_ten_connections(observe, db):
    author = await Author.objects.acreate(name="A")
    threads = NewThreads()

    async def get():
        found = await Author.objects.aget(pk=author.pk)
        threads.look()
        return found

    authors = await asyncio.gather(*(get() for _ in range(500)))
    assert authors == [author] * 500
    assert not threads.look()
    backends = observe(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert backends[0][0] <= 10
    assert statistics().size <= 10


async def test_100_sleeps_at_once_take_as_long_as_one(db):
    with pool_options(max_size=100):
        await asyncio.gather(*(run_sync(sql, "SELECT 1") for _ in range(100)))
        threads, started = NewThreads(), time.monotonic()
        async with Heartbeat() as heartbeat:
            await asyncio.gather(
                *(run_sync(sql, "SELECT pg_sleep(0.2)::text") for _ in range(100))
            )
        assert time.monotonic() - started < 1
        assert heartbeat.late < 0.05
        assert not threads.look()


class SlowProxy:
    """
    Passes connections on to the server, each after a delay.
    """

    def __init__(self, server, delay):
        self.server, self.delay = server, delay
        self.opened = 0

    async def __aenter__(self):
        self._connections = []
        self._proxy = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._proxy.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info):
        self._proxy.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader, writer):
        self.opened += 1
        self._connections.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        try:
            await asyncio.sleep(self.delay)
            await self._pass_on(reader, writer)
        finally:
            writer.close()

    async def _pass_on(self, reader, writer):
        upstream = await asyncio.open_connection(self.server.host, self.server.port)
        try:
            await asyncio.gather(
                self._copy(reader, upstream[1]), self._copy(upstream[0], writer)
            )
        finally:
            upstream[1].close()

    async def _copy(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


async def test_opening_connections_to_a_slow_server_does_not_block_the_loop(server, db):
    async with SlowProxy(server, delay=0.3) as proxy, Heartbeat() as heartbeat:
        with pool_options(max_size=20) as settings:
            settings.update(HOST="127.0.0.1", PORT=proxy.port)
            started = time.monotonic()
            await asyncio.gather(
                *(run_sync(sql, "SELECT pg_sleep(0.01)::text") for _ in range(20))
            )
            assert 0.3 < time.monotonic() - started < 3
        assert proxy.opened == 20
        assert heartbeat.late < 0.05
        # Before the proxy goes.
        await run_sync(close_pool)


async def test_cancelled_connect_is_closed_though_its_error_is_kept(db):
    async with SilentServer() as server:
        with pool_options(max_size=1) as settings:
            settings.update(HOST="127.0.0.1", PORT=server.port)
            task = asyncio.create_task(Author.objects.acount())
            stream = await server.accepted()
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as error:
                await task
            async with asyncio.timeout(5):
                await stream.read()
            assert error.value.__traceback__ is not None


def close_pool():
    connections["default"].close_pool()


async def test_resolving_a_name_slowly_does_not_block_the_loop(server, db, monkeypatch):
    resolve = socket.getaddrinfo

    def resolve_slowly(host, *args, **kwargs):
        threading.Event().wait(0.2)
        return resolve("127.0.0.1" if host == "slow.test" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_slowly)
    # libpq is given the address as well; uvloop resolves without the socket module.
    if not isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):

        async def getaddrinfo(host, port, **kwargs):
            return await loop.run_in_executor(None, lambda: resolve_slowly(host, port))

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(
            "psycopg._conninfo_attempts_async.asyncio.get_running_loop",
            lambda: type("Loop", (), {"getaddrinfo": staticmethod(getaddrinfo)}),
        )
    async with Heartbeat() as heartbeat:
        with pool_options(max_size=20) as settings:
            settings["HOST"] = "slow.test"
            await asyncio.gather(
                *(run_sync(sql, "SELECT pg_sleep(0.01)::text") for _ in range(20))
            )
    assert heartbeat.late < 0.05


async def test_copy_and_notify_do_not_block_the_loop(db):
    def copy_and_listen():
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE t (n int)")
            with cursor.copy("COPY t FROM STDIN") as copying:
                for n in range(20_000):
                    copying.write_row((n,))
            cursor.execute("SELECT count(*), sum(n) FROM t")
            counted = cursor.fetchone()
            with cursor.copy("COPY t TO STDOUT") as copying:
                rows = sum(1 for _ in copying.rows())
            cursor.execute("DROP TABLE t")
            cursor.execute("LISTEN channel")
            cursor.execute("NOTIFY channel, 'hello'")
            (notice,) = connection.connection.notifies(timeout=5, stop_after=1)
            assert list(connection.connection.notifies(timeout=0.01)) == []
            cursor.execute("UNLISTEN *")
        return counted, rows, notice.payload

    async with Heartbeat() as heartbeat:
        assert await run_sync(copy_and_listen) == (
            (20_000, 199_990_000),
            20_000,
            "hello",
        )
    assert heartbeat.late < 0.05


async def test_cancel_safe_does_not_block_the_loop(db):
    def cancel_idle():
        with connection.cursor():
            connection.connection.cancel_safe()
        return sql("SELECT 1")

    assert await run_sync(cancel_idle) == 1


# Cancelling.


async def test_cancelled_query_is_gone_from_the_server(observe, db):
    pid = await run_sync(sql, "SELECT pg_backend_pid()")
    task = asyncio.create_task(run_sync(sql, "SELECT pg_sleep(60)"))
    await until(lambda: others_running(observe, "pg_sleep(60)"))
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 0.1
    assert not others_running(observe, "pg_sleep(60)")
    assert await run_sync(sql, "SELECT pg_backend_pid()") == pid
    assert statistics().size == 1


async def test_cancelled_query_in_a_transaction_rolls_back(observe, db):
    def insert_and_wait():
        with transaction.atomic():
            Author.objects.create(name="rolled back")
            with transaction.atomic():
                sql("SELECT pg_sleep(60)")

    task = asyncio.create_task(run_sync(insert_and_wait))
    await until(lambda: others_running(observe, "pg_sleep(60)"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Author.objects.acount() == 0
    assert statistics().idle == statistics().size == 1


async def test_query_that_is_cancelled_again_while_it_is_drained(observe, db):
    task = asyncio.create_task(run_sync(sql, "SELECT pg_sleep(60)"))
    await until(lambda: others_running(observe, "pg_sleep(60)"))
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not others_running(observe, "pg_sleep(60)")
    assert await run_sync(sql, "SELECT 1") == 1
    assert statistics().size == 1


async def test_query_times_out_as_asyncio_says(observe, db):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await run_sync(sql, "SELECT pg_sleep(60)")
    assert not others_running(observe, "pg_sleep(60)")
    assert asyncio.current_task().cancelling() == 0


async def test_query_is_cancelled_by_an_anyio_scope_which_cancels_again_and_again(
    observe, db
):
    started = time.process_time()
    with anyio.move_on_after(0.05) as scope:
        await run_sync(sql, "SELECT pg_sleep(60)")
    assert scope.cancelled_caught
    assert not others_running(observe, "pg_sleep(60)")
    assert await run_sync(sql, "SELECT 1") == 1
    assert statistics().size == 1
    # Absorbing each of them would keep a core busy until the server answers.
    assert time.process_time() - started < 0.5


async def test_many_queries_cancelled_at_random_leave_the_pool_whole(observe, db):
    async def query(number):
        async with asyncio.timeout(0.0003 * (number % 40)):
            return await run_sync(sql, "SELECT pg_sleep(0.003)::text || %s", number)

    results = await asyncio.gather(
        *(query(number) for number in range(300)), return_exceptions=True
    )
    assert {type(result) for result in results} <= {str, TimeoutError}
    for number, result in enumerate(results):
        assert isinstance(result, TimeoutError) or result == str(number)
    s = statistics()
    assert (s.waiting, s.holders) == (0, ())
    assert s.idle == s.size <= 10
    assert not others_running(observe, "pg_sleep")


async def test_server_that_does_not_end_a_cancelled_statement_is_given_up(
    server, observe, monkeypatch
):
    from django_evergreen.db.backends.postgresql import _connection

    monkeypatch.setattr(_connection, "CANCEL_TIMEOUT", 0.2)
    # A server that has stopped: it reads nothing and answers nothing.
    async with SlowProxy(server, delay=0) as proxy:
        with pool_options() as settings:
            settings.update(HOST="127.0.0.1", PORT=proxy.port)
            task = asyncio.create_task(run_sync(sql, "SELECT pg_sleep(60)"))
            await until(lambda: statistics().holders)
            await asyncio.sleep(0.05)
            proxy.delay = 60
            # The request to cancel is never passed on.
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert statistics().size == 0


async def test_closing_the_driver_drops_the_connection(db):
    def insert_and_wait():
        with transaction.atomic():
            Author.objects.create(name="rolled back")
            await_(asyncio.Event().wait())

    # Driven by this task up to the wait, then closed like an abandoned coroutine.
    driver = run_sync(insert_and_wait)
    waits_for = driver.send(None)
    while not statistics().holders or "Event" not in str(driver.cr_await):
        waits_for._asyncio_future_blocking = False
        await waits_for
        waits_for = driver.send(None)
    driver.close()
    assert statistics().size == 0
    assert await Author.objects.acount() == 0


@pytest.mark.parametrize("times", [1, 2])
async def test_connection_closed_while_nothing_is_sent_is_closed_when_it_is_free(
    db, times
):
    """
    Its lock is held by who waits until it's quiet, for example.
    """

    def close():
        connection.ensure_connection()
        driver = connection.connection
        with driver.lock:
            for _ in range(times):
                driver.close()
            assert driver.pgconn.status == ConnStatus.OK
        assert driver.pgconn.status == ConnStatus.BAD
        assert not driver.lock.locked

    await run_sync(close)


# Losing the server.


async def test_terminated_while_idle_is_noticed(observe, db):
    pid = await run_sync(sql, "SELECT pg_backend_pid()")
    observe("SELECT pg_terminate_backend(%s)", pid)
    errors = 0
    for _ in range(3):
        try:
            assert await run_sync(sql, "SELECT pg_backend_pid()") != pid
        except OperationalError:
            errors += 1
    assert errors <= 1
    assert statistics().size == 1


async def test_terminated_in_a_query_is_one_error_then_recovery(observe, db):
    task = asyncio.create_task(run_sync(sql, "SELECT pg_sleep(60)"))
    await until(lambda: others_running(observe, "pg_sleep(60)"))
    ((pid,),) = others_running(observe, "pg_sleep(60)")
    observe("SELECT pg_terminate_backend(%s)", pid)
    with pytest.raises(OperationalError):
        await task
    assert await run_sync(sql, "SELECT 1") == 1
    assert statistics().size == 1


async def test_terminated_in_a_transaction_is_one_error_then_recovery(observe, db):
    def lose():
        with transaction.atomic():
            observe("SELECT pg_terminate_backend(%s)", sql("SELECT pg_backend_pid()"))
            sql("SELECT 1")

    with pytest.raises(OperationalError):
        await run_sync(lose)
    assert await run_sync(sql, "SELECT 1") == 1
    assert statistics().size == 1


async def test_health_check_replaces_a_connection_that_was_lost(
    observe, db, monkeypatch
):
    from django_evergreen.db import _wrapper

    monkeypatch.setattr(_wrapper, "HEALTHY_FOR", 0.0)
    with pool_options() as settings:
        settings["CONN_HEALTH_CHECKS"] = True
        pid = await run_sync(sql, "SELECT pg_backend_pid()")
        assert await run_sync(sql, "SELECT pg_backend_pid()") == pid
        observe("SELECT pg_terminate_backend(%s)", pid)
        # At once, before the loop could notice by itself.
        assert await run_sync(sql, "SELECT pg_backend_pid()") != pid


async def test_fork_leaves_the_parent_s_connections_alone(db):
    pid_before = await run_sync(sql, "SELECT pg_backend_pid()")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            # As a server does that forks its workers.
            asyncio.run(Author.objects.acreate(name="by the child"))
            code = 0
        finally:
            os._exit(code)
    status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status[1]) == 0
    assert await run_sync(sql, "SELECT pg_backend_pid()") == pid_before
    assert await Author.objects.acount() == 1


def test_two_loops_one_after_the_other(run, observe, db):
    async def main():
        return await run_sync(sql, "SELECT pg_backend_pid()")

    first, second = run(main()), run(main())
    assert first != second
    left = observe(
        "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)", [first, second]
    )
    assert len(left) <= 1  # The server takes a moment to notice.


# Options.


async def test_options_keep_their_meaning(db):
    options = {
        "isolation_level": psycopg.IsolationLevel.SERIALIZABLE,
        "server_side_binding": True,
        "assume_role": "postgres",
        "options": "-c work_mem=5MB",
    }
    with pool_options(OPTIONS=options):

        def ask():
            with transaction.atomic():
                return sql("SHOW transaction_isolation"), sql("SHOW work_mem")

        for _ in range(2):  # The second time on a connection from the pool.
            assert await run_sync(ask) == ("serializable", "5MB")
        assert connections["default"].isolation_level == options["isolation_level"]


async def test_connection_time_zone_follows_the_settings(db):
    assert await run_sync(sql, "SHOW TimeZone") == "UTC"
    with override_settings(TIME_ZONE="Europe/Berlin", USE_TZ=False):
        assert await run_sync(sql, "SHOW TimeZone") == "Europe/Berlin"
    assert await run_sync(sql, "SHOW TimeZone") == "UTC"


# Misuse.


async def test_stale_cursor_is_refused(db):
    def use_it_late():
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        await_(asyncio.sleep(0))
        assert cursor.fetchone() == (1,)
        cursor.execute("SELECT 2")

    with pytest.raises(InterfaceError, match=r"with connection.cursor\(\) as cursor"):
        await run_sync(use_it_late)


async def test_no_switch_refuses_a_query_before_it_is_sent(db):
    def query():
        with connection.cursor() as cursor, no_switch():
            cursor.execute("SELECT 1")

    from django_evergreen import SwitchForbidden

    with pytest.raises(SwitchForbidden):
        await run_sync(query)
    assert await run_sync(sql, "SELECT 1") == 1


async def test_connection_of_the_bridge_is_refused_outside(db):
    def keep():
        connection.ensure_connection()
        return connection.connection

    def use(raw):
        raw.execute("SELECT 1")

    raw = await run_sync(keep)
    with pytest.raises(psycopg.InterfaceError, match="outside the bridge"):
        use(raw)
    with pytest.raises(psycopg.InterfaceError, match="outside the bridge"):
        await asyncio.to_thread(use, raw)


async def test_usable_connection_is_not_called_unusable_in_bare_async_code(db):
    async with hold_connection():
        with pytest.raises(SynchronousOnlyOperation, match="run_sync"):
            connection.is_usable()
        assert await run_sync(connection.is_usable)
