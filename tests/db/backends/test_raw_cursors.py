"""
What psycopg offers besides queries, in the bridge: COPY, pipelines, LISTEN.
"""

from __future__ import annotations

import asyncio

import pytest
from django.db import connection

from django_evergreen.bridge import run_sync
from django_evergreen.db import statistics

pytestmark = pytest.mark.only("postgresql")

MEGABYTE = 2**20


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


async def cancel_when(started, task):
    await started.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def assert_pool_is_whole():
    assert await run_sync(execute, "SELECT 1") == 1
    assert statistics().idle == statistics().size == 1


@pytest.mark.slow
async def test_copy_of_100_megabytes_in_and_out(db):
    line = b"x" * (MEGABYTE - 1) + b"\n"

    def copy():
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE t (line text)")
            with cursor.copy("COPY t FROM STDIN") as copying:
                for _ in range(100):
                    copying.write(line)
            with cursor.copy("COPY t TO STDOUT") as copying:
                received = sum(len(data) for data in copying)
            cursor.execute("DROP TABLE t")
            return received

    assert await run_sync(copy) == 100 * MEGABYTE
    await assert_pool_is_whole()


@pytest.mark.parametrize("direction", ["in", "out"])
async def test_cancelled_copy_leaves_a_usable_pool(db, direction):
    started = asyncio.Event()

    def copy_in():
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE t (line text)")
            with cursor.copy("COPY t FROM STDIN") as copying:
                while True:
                    copying.write(b"x" * MEGABYTE + b"\n")
                    started.set()

    def copy_out():
        with connection.cursor() as cursor:
            rows = "SELECT repeat('x', 10000) FROM generate_series(1, 100000000)"
            with cursor.copy(f"COPY ({rows}) TO STDOUT") as copying:
                for _ in copying:
                    started.set()

    copy = {"in": copy_in, "out": copy_out}[direction]
    await cancel_when(started, asyncio.create_task(run_sync(copy)))
    await assert_pool_is_whole()


async def test_pipeline(db):
    def work():
        with connection.cursor() as cursor:
            raw = connection.connection
            with raw.pipeline():
                cursors = [raw.execute("SELECT %s", [n]) for n in range(50)]
                first = [cursor.fetchone()[0] for cursor in cursors]
            cursor.execute("SELECT 50")
            return [*first, cursor.fetchone()[0]]

    assert await run_sync(work) == list(range(51))
    await assert_pool_is_whole()


async def test_cancelled_pipeline_closes_its_connection(db):
    started = asyncio.Event()

    def work():
        with connection.cursor():
            raw = connection.connection
            with raw.pipeline():
                slow = raw.execute("SELECT pg_sleep(20)")
                started.set()
                slow.fetchone()

    before = await run_sync(execute, "SELECT pg_backend_pid()")
    await cancel_when(started, asyncio.create_task(run_sync(work)))
    assert await run_sync(execute, "SELECT pg_backend_pid()") != before
    await assert_pool_is_whole()


async def test_cancelled_listen_leaves_a_usable_connection(db):
    started = asyncio.Event()

    def listen():
        with connection.cursor() as cursor:
            cursor.execute("LISTEN channel")
            started.set()
            list(connection.connection.notifies())

    await cancel_when(started, asyncio.create_task(run_sync(listen)))
    await assert_pool_is_whole()
