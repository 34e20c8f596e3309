"""
Threads that nobody can stop. Tests named "clean" come after a mistake.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import sync_to_async
from django.db import transaction

from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author

from .leaks import query_endlessly

kept = []
errors = []


class Threads:
    drain_timeout = 0.05
    cancel_timeout = 0.2

    async def check_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)
        await Author.objects.acreate(name="x")

    async def start(self, fn, knows_test=True):
        """
        Call a function in a thread, which waits in it for `may_go_on`.
        """
        cls = type(self)
        cls.may_go_on, cls.is_over = threading.Event(), threading.Event()
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        def work():
            try:
                fn(lambda: loop.call_soon_threadsafe(begun.set))
            except BaseException as error:
                errors.append(error)
            finally:
                cls.is_over.set()

        if knows_test:
            kept.append(asyncio.create_task(sync_to_async(work)(), name="in a thread"))
        else:
            context = contextvars.Context()
            threading.Thread(target=context.run, args=(work,), name="plain").start()
        await begun.wait()

    async def check_refused(self):
        """
        Let the thread of the test before write.
        """
        errors.clear()
        self.may_go_on.set()
        self.assertTrue(await asyncio.to_thread(self.is_over.wait, 20))
        self.assertEqual([type(e).__name__ for e in errors], [self.refusal])
        self.assertIn("was not sent", str(errors[0]))
        await self.check_clean()

    async def test_a_first_query_is_late(self):
        def write_later(begin):
            begin()
            self.may_go_on.wait(20)
            Author.objects.create(name="late")

        await self.start(write_later)

    test_b_clean = check_refused

    async def test_c_second_query_is_late(self):
        def write_now_and_later(begin):
            Author.objects.create(name="in time")
            begin()
            self.may_go_on.wait(20)
            Author.objects.create(name="late")

        await self.start(write_now_and_later)

    test_d_clean = check_refused

    async def test_e_late_in_a_transaction(self):
        def write_in_transaction(begin):
            with transaction.atomic():
                Author.objects.create(name="in time")
                begin()
                self.may_go_on.wait(20)
                Author.objects.create(name="late")

        await self.start(write_in_transaction)

    test_f_clean = check_refused

    async def test_g_in_a_query(self):
        def query(begin):
            begin()
            query_endlessly()

        await self.start(query)

    async def test_h_clean(self):
        self.assertTrue(await asyncio.to_thread(self.is_over.wait, 20))
        await self.check_clean()

    async def test_k_plain_thread(self):
        def read_now_and_write_later(begin):
            Author.objects.count()
            begin()
            self.may_go_on.wait(20)  # plain
            Author.objects.create(name="late")

        await self.start(read_now_and_write_later, knows_test=False)

    test_l_clean = check_refused

    async def test_i_executor_of_ones_own(self):
        executor = ThreadPoolExecutor(1)
        count = sync_to_async(
            Author.objects.count, thread_sensitive=False, executor=executor
        )
        self.assertEqual(await count(), 0)
        await Author.objects.acreate(name="x")
        self.assertEqual(await count(), 1)
        kept.append(executor)

    test_j_clean = check_clean


class ThreadsOfRollback(Threads, AsyncTestCase):
    refusal = "WorkOfEndedTest"


class ThreadsOfFlush(Threads, AsyncTransactionTestCase):
    refusal = "WorkOfEndedTest"
