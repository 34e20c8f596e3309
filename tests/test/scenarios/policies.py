"""
What a class lets go on: waiting, cancelling, an allow-list.
"""

from __future__ import annotations

import asyncio
import threading

from asgiref.sync import sync_to_async
from django.db import connection

from django_evergreen.test import (
    AsyncDatabaseTeardownTestCase,
    AsyncSimpleTestCase,
    AsyncTestCase,
    AsyncTransactionTestCase,
)
from tests.app.models import Author

from . import shop

kept = []
seen = []


class ShortTask:
    async def test_a_task_that_writes(self):
        async def write():
            await asyncio.sleep(0.05)
            self.assertTrue(await Author.objects.filter(name="body").aexists())
            await Author.objects.acreate(name="task")
            seen.append(await Author.objects.acount())

        seen.clear()
        await Author.objects.acreate(name="body")
        kept.append(asyncio.create_task(write(), name="short"))

    async def test_b_clean(self):
        self.assertEqual(seen, [2])
        self.assertEqual(await Author.objects.acount(), 0)

    async def test_c_chain_of_tasks(self):
        async def write(left):
            await Author.objects.acreate(name=str(left))
            if left:
                kept.append(asyncio.create_task(write(left - 1)))
            else:
                seen.append(await Author.objects.acount())

        seen.clear()
        kept.append(asyncio.create_task(write(20)))

    async def test_d_clean(self):
        self.assertEqual(seen, [21])
        self.assertEqual(await Author.objects.acount(), 0)

    async def test_e_thread_that_writes(self):
        def write():
            may_write.wait(20)
            Author.objects.create(name="thread")
            seen.append(Author.objects.count())

        seen.clear()
        may_write = threading.Event()
        kept.append(asyncio.create_task(sync_to_async(write)()))
        asyncio.get_running_loop().call_later(0.05, may_write.set)

    async def test_f_clean(self):
        self.assertEqual(seen, [1])
        self.assertEqual(await Author.objects.acount(), 0)

    async def test_g_timer(self):
        asyncio.get_running_loop().call_later(0.05, lambda: seen.append("timer"))

    async def test_h_clean(self):
        self.assertEqual(seen.pop(), "timer")


class WaitAndRollBack(ShortTask, AsyncTestCase):
    leftovers = "wait"


class WaitAndFlush(ShortTask, AsyncDatabaseTeardownTestCase):
    pass


class FailAndRollBack(ShortTask, AsyncTestCase):
    """
    What ends by itself within drain_timeout fails nothing.
    """

    drain_timeout = 20.0


class WaitInVain(AsyncDatabaseTeardownTestCase):
    drain_timeout = 0.05
    cancel_timeout = 0.2

    async def test_a_task(self):
        await Author.objects.acreate(name="x")
        kept.append(asyncio.create_task(shop.send_receipt(), name="endless"))

    async def test_b_clean(self):
        self.assertTrue(kept[-1].cancelled())
        self.assertEqual(await Author.objects.acount(), 0)

    async def test_c_stubborn_task(self):
        async def be_stubborn():
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass

        kept.append(asyncio.create_task(be_stubborn(), name="stubborn"))
        await asyncio.sleep(0)

    async def test_d_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)

    async def test_e_failing_task(self):
        async def fail():
            await asyncio.sleep(0)
            raise ValueError("in the background")

        kept.append(asyncio.create_task(fail(), name="failing"))

    test_f_clean = test_d_clean


class Cancel(AsyncTransactionTestCase):
    leftovers = "cancel"

    async def test_a_task(self):
        async def write():
            await Author.objects.acreate(name="x")
            begun.set()
            await asyncio.sleep(3600)

        begun = asyncio.Event()
        kept.append(asyncio.create_task(write(), name="cancelled"))
        await begun.wait()

    async def test_b_clean(self):
        self.assertTrue(kept[-1].cancelled())
        self.assertEqual(await Author.objects.acount(), 0)

    async def test_c_coroutine_never_awaited(self):
        Author.objects.acreate(name="x")


class Allowing(AsyncSimpleTestCase):
    """
    Each test leaves one task that is on the list, in one of the ways to put it there.
    """

    drain_timeout = 0.0
    allowed_leftovers = (
        "keeper-*",
        "Allowing.hum",
        "tests.test.scenarios.shop.Client.*",
        "Allowing.test_d*",
    )

    def keep(self, coroutine, **options):
        kept.append(asyncio.create_task(coroutine, **options))

    async def hum(self):
        await asyncio.sleep(3600)

    async def check_last(self):
        self.assertFalse(kept[-1].done())

    async def test_a_by_name(self):
        kept.append(asyncio.create_task(shop.send_receipt(), name="keeper-1"))

    async def test_b_by_coroutine(self):
        await self.check_last()
        kept.append(asyncio.create_task(self.hum()))

    async def test_c_by_creating_module(self):
        await self.check_last()
        client = shop.Client()
        await client.connect()
        kept.append(client.task)

    async def test_d_by_creating_function(self):
        await self.check_last()
        kept.append(asyncio.create_task(shop.send_receipt(), name="another"))

    async def test_e_not_on_the_list(self):
        await self.check_last()
        kept.append(asyncio.create_task(shop.send_receipt(), name="not listed"))

    async def test_f_clean(self):
        self.assertTrue(kept[-1].cancelled())
        self.assertFalse(kept[-2].done())


class AllowingThreads(AsyncSimpleTestCase):
    drain_timeout = 0.0
    allowed_leftovers = ("*.wait_for_end", "metrics")
    may_end = threading.Event()

    def wait_for_end(self):
        self.may_end.wait(20)

    async def test_a_thread_of_executor(self):
        asyncio.get_running_loop().run_in_executor(None, self.wait_for_end)

    async def test_b_plain_thread(self):
        threading.Thread(target=self.wait_for_end, name="metrics").start()

    async def test_c_clean(self):
        self.may_end.set()


class AllowedTaskAndDatabase(AsyncTransactionTestCase):
    drain_timeout = 0.0
    allowed_leftovers = ("service",)

    async def count(self):
        while True:
            await self.asked.wait()
            self.asked.clear()
            try:
                self.answers.put_nowait(await Author.objects.acount())
            except Exception as error:
                self.answers.put_nowait(error)

    async def test_a_task_goes_on(self):
        cls = type(self)
        cls.asked, cls.answers = asyncio.Event(), asyncio.Queue()
        kept.append(asyncio.create_task(self.count(), name="service"))
        self.asked.set()
        self.assertEqual(await self.answers.get(), 0)

    async def test_b_task_goes_on(self):
        self.assertFalse(connection.in_atomic_block)
        await Author.objects.acreate(name="x")
        self.asked.set()
        self.assertEqual(await self.answers.get(), 1)
