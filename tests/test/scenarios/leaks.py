"""
The mistakes of every async project. Each test of this module but those named "clean"
has to fail.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time

from asgiref.sync import sync_to_async
from django.db import connection, transaction

from django_evergreen.bridge import run_sync
from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author

ENDLESS = {
    "postgresql": "SELECT pg_sleep(1000)",
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) "
    "SELECT count(*) FROM c",
}
kept = []


def query_endlessly():
    with connection.cursor() as cursor:
        cursor.execute(ENDLESS[connection.vendor])


async def sleep_for_ever():
    await asyncio.sleep(3600)


async def be_stubborn():
    while True:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass


async def start_others():
    try:
        await asyncio.sleep(3600)
    finally:
        kept.append(asyncio.create_task(start_others(), name="another"))


async def fail():
    raise ValueError("in the background")


async def count_up():
    try:
        yield 1
        yield 2
    finally:
        await Author.objects.acreate(name="closing")


class Mistakes:
    drain_timeout = 0.05
    # For those that end by it, however busy the machine is.
    cancel_timeout = 20.0

    async def check_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)
        await Author.objects.acreate(name="x")

    async def test_01_forgotten_task(self):
        await Author.objects.acreate(name="x")
        kept.append(asyncio.create_task(sleep_for_ever(), name="forgotten"))

    test_02_clean = check_clean

    async def test_03_failed_task(self):
        kept.append(asyncio.create_task(fail(), name="failing"))

    test_04_clean = check_clean

    async def test_05_task_in_a_query(self):
        await Author.objects.acreate(name="x")
        kept.append(asyncio.create_task(run_sync(query_endlessly), name="querying"))
        await asyncio.sleep(0)

    test_06_clean = check_clean

    async def test_11_coroutine_never_awaited(self):
        Author.objects.acreate(name="x")

    test_12_clean = check_clean

    async def test_13_coroutine_never_awaited_in_a_cycle(self):
        cycle = [Author.objects.acreate(name="x")]
        cycle.append(cycle)

    test_14_clean = check_clean

    async def test_15_generator_never_closed(self):
        generator = count_up()
        kept.append(generator)
        async for _ in generator:
            break

    test_16_clean = check_clean

    async def test_17_timer(self):
        asyncio.get_running_loop().call_later(3600, query_endlessly)

    test_18_clean = check_clean

    async def test_25_transaction_after_the_end(self):
        async def write_later():
            try:
                await asyncio.sleep(3600)
            finally:
                async with transaction.atomic():
                    await Author.objects.acreate(name="late")

        kept.append(asyncio.create_task(write_later(), name="late"))
        await asyncio.sleep(0)

    test_26_clean = check_clean

    async def test_27_callback_that_fails(self):
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)

    test_28_clean = check_clean

    async def test_31_reader(self):
        reader, writer = socket.socketpair()
        kept.extend((reader, writer))
        loop = asyncio.get_running_loop()
        loop.add_reader(reader, query_endlessly)
        loop.add_writer(writer, lambda: loop.remove_writer(writer))

    async def test_32_clean(self):
        loop = asyncio.get_running_loop()
        self.assertFalse(loop.remove_reader(kept[-2]))
        await self.check_clean()

    async def test_29_generator_dropped_is_clean(self):
        async for _ in count_up():
            break
        gc.collect()


class Unstoppable:
    """
    What goes on although it was cancelled.
    """

    drain_timeout = 0.05
    cancel_timeout = 0.2
    check_clean = Mistakes.check_clean

    async def test_07_stubborn_task(self):
        kept.append(asyncio.create_task(be_stubborn(), name="stubborn"))
        await asyncio.sleep(0)

    test_08_clean = check_clean

    async def test_09_task_that_starts_others(self):
        kept.append(asyncio.create_task(start_others(), name="first"))
        await asyncio.sleep(0)

    test_10_clean = check_clean

    async def test_19_thread_that_does_not_end(self):
        may_end = threading.Event()
        kept.append(may_end)
        started = threading.Event()

        def wait():
            started.set()
            may_end.wait(600)

        kept.append(asyncio.create_task(sync_to_async(wait)(), name="in a thread"))
        while not started.is_set():
            await asyncio.sleep(0)

    test_20_clean = check_clean

    async def test_21_default_executor(self):
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)

    test_22_clean = check_clean

    async def test_23_plain_thread(self):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

    test_24_clean = check_clean


class Rollback(Mistakes, AsyncTestCase):
    pass


class Flush(Mistakes, AsyncTransactionTestCase):
    pass


class UnstoppableInRollback(Unstoppable, AsyncTestCase):
    pass


class UnstoppableInFlush(Unstoppable, AsyncTransactionTestCase):
    pass
