"""
What goes on beside the tests: tasks of a class, of a view, of a library; threads that
nobody can stop. Tests named "clean" come after a mistake.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.test import override_settings

from django_evergreen.bridge import run_sync
from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author

from . import shop
from .leaks import query_endlessly

kept = []
errors = []


class Quick:
    drain_timeout = 0.05
    cancel_timeout = 0.2

    async def check_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)
        await Author.objects.acreate(name="x")


class TaskOfClass:
    """
    A service that is started for all tests of the class, and stopped after them.
    """

    @classmethod
    async def asyncSetUpClass(cls):
        cls.questions, cls.answers = asyncio.Queue(), asyncio.Queue()
        cls.task = asyncio.create_task(cls.count(), name="service")

    @classmethod
    async def count(cls):
        while True:
            await cls.questions.get()
            cls.answers.put_nowait(await Author.objects.acount())

    @classmethod
    async def asyncTearDownClass(cls):
        cls.task.cancel()
        await asyncio.wait([cls.task])

    async def ask(self):
        self.questions.put_nowait("How many?")
        return await self.answers.get()

    async def test_a(self):
        self.assertEqual(await self.ask(), 0)
        await Author.objects.acreate(name="a")
        self.assertEqual(await self.ask(), 1)

    async def test_b(self):
        self.assertEqual(await self.ask(), 0)
        await Author.objects.acreate(name="b")
        self.assertEqual(await self.ask(), 1)

    async def test_c(self):
        self.assertFalse(self.task.done())


class TaskOfRollbackClass(TaskOfClass, AsyncTestCase):
    pass


class TaskOfFlushClass(TaskOfClass, AsyncTransactionTestCase):
    pass


class ForgottenByClass(Quick, AsyncTestCase):
    @classmethod
    async def asyncSetUpClass(cls):
        cls.task = asyncio.create_task(shop.send_receipt(), name="of the class")

    async def test_a(self):
        self.assertFalse(self.task.done())

    test_b = test_a


class ForgottenByClassNext(AsyncTestCase):
    async def test_clean(self):
        self.assertTrue(ForgottenByClass.task.cancelled())


@override_settings(ROOT_URLCONF="tests.test.scenarios.shop")
class Views(Quick, AsyncTestCase):
    async def test_a_async_client(self):
        response = await self.async_client.get("/pay/?order=1")
        self.assertEqual(response.status_code, 200)

    test_b_clean = Quick.check_clean

    async def test_c_sync_client(self):
        response = await run_sync(self.client.post, "/pay/")
        self.assertEqual(response.status_code, 200)
        self.assertFalse(shop.kept[-1].done())

    test_d_clean = Quick.check_clean

    async def test_e_request_in_flight(self):
        client = self.async_client
        kept.append(asyncio.create_task(client.get("/wait/"), name="client"))
        await asyncio.sleep(0)

    test_f_clean = Quick.check_clean

    @override_settings(MIDDLEWARE=["tests.test.scenarios.shop.middleware_of_sync_code"])
    async def test_g_below_middleware_in_a_thread(self):
        await self.async_client.get("/pay/")

    test_h_clean = Quick.check_clean

    def test_i_sync_test(self):
        self.client.get("/pay/")

    def test_j_clean(self):
        self.assertEqual(Author.objects.count(), 0)


class Threads(Quick):
    async def start(self, fn):
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

        kept.append(asyncio.create_task(sync_to_async(work)(), name="in a thread"))
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

    async def test_i_executor_of_ones_own(self):
        executor = ThreadPoolExecutor(1)
        count = sync_to_async(
            Author.objects.count, thread_sensitive=False, executor=executor
        )
        self.assertEqual(await count(), 0)
        await Author.objects.acreate(name="x")
        self.assertEqual(await count(), 1)
        kept.append(executor)

    test_j_clean = Quick.check_clean


class ThreadsOfRollback(Threads, AsyncTestCase):
    refusal = "WorkOfEndedTest"


class ThreadsOfFlush(Threads, AsyncTransactionTestCase):
    refusal = "WorkOfEndedTest"


class Tasks(Quick):
    async def test_a_in_a_transaction(self):
        async def hold_transaction():
            async with transaction.atomic():  # held
                await Author.objects.acreate(name="x")
                begun.set()
                await asyncio.sleep(3600)

        begun = asyncio.Event()
        kept.append(asyncio.create_task(hold_transaction(), name="in transaction"))
        await begun.wait()

    test_b_clean = Quick.check_clean

    async def test_c_writes_when_it_is_cancelled(self):
        async def write_at_the_end():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await Author.objects.acreate(name="at the end")

        kept.append(asyncio.create_task(write_at_the_end(), name="writes at the end"))
        await asyncio.sleep(0)

    test_d_clean = Quick.check_clean

    async def test_e_in_a_context_of_its_own(self):
        options = {"context": contextvars.Context()}
        task = asyncio.create_task(shop.send_receipt(), name="no context", **options)
        kept.append(task)

    test_f_clean = Quick.check_clean

    async def test_g_of_a_cleanup(self):
        async def clean_up():
            kept.append(asyncio.create_task(shop.send_receipt(), name="of cleanup"))

        self.addAsyncCleanup(clean_up)

    test_h_clean = Quick.check_clean

    async def test_i_failed_test_with_a_leftover(self):
        kept.append(asyncio.create_task(shop.send_receipt(), name="beside"))
        self.fail("on purpose")

    test_j_clean = Quick.check_clean

    async def test_k_error_that_was_seen_is_clean(self):
        async def fail():
            raise ValueError

        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        self.assertIsInstance(task.exception(), ValueError)

    async def test_l_coroutine_that_is_kept_is_clean(self):
        coroutine = Author.objects.acreate(name="x")
        self.addCleanup(coroutine.close)

    async def test_m_callback_on_commit(self):
        async def called():
            await Author.objects.acreate(name="on commit")

        async with transaction.atomic():
            transaction.on_commit(called)
        expected = 0 if connection.in_atomic_block else 1
        self.assertEqual(await Author.objects.acount(), expected)

    test_n_clean = Quick.check_clean


class TasksOfRollback(Tasks, AsyncTestCase):
    pass


class TasksOfFlush(Tasks, AsyncTransactionTestCase):
    pass
