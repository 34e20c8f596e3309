"""
What goes on beside the tests: tasks of a class, of a view, of a library; threads that
nobody can stop. Tests named "clean" come after a mistake.
"""

from __future__ import annotations

import asyncio
import contextvars

from django.db import connection, transaction
from django.test import override_settings

from django_evergreen.bridge import run_sync
from django_evergreen.test import (
    AsyncClient,
    AsyncTestCase,
    AsyncTransactionTestCase,
    Client,
)
from tests.app.models import Author

from . import shop

IN_THREAD = "tests.test.scenarios.shop.middleware_of_sync_code"
kept = []


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


@override_settings(ROOT_URLCONF="tests.test.scenarios.shop")
class WaitingClients(Quick, AsyncTestCase):
    async def test_a_waits_for_the_tasks_of_the_view(self):
        client = AsyncClient(wait_for_tasks=True)
        response = await client.get("/subscribe/")
        self.assertEqual(response.status_code, 200)
        self.assertEqual(await Author.objects.acount(), 3)

    test_b_clean = Quick.check_clean

    async def test_c_does_not_wait(self):
        await AsyncClient().get("/pay/")
        self.assertFalse(shop.kept[-1].done())
        shop.kept[-1].cancel()

    test_d_clean = Quick.check_clean

    async def test_e_waits_below_middleware_in_a_thread(self):
        client = AsyncClient(wait_for_tasks=True)
        with self.settings(MIDDLEWARE=[IN_THREAD]):
            await client.get("/nap/")
        self.assertTrue(shop.kept[-1].done())

    test_f_clean = Quick.check_clean

    async def test_g_waits_for_no_other_tasks(self):
        beside = asyncio.create_task(shop.send_receipt())
        first, second = AsyncClient(wait_for_tasks=True), AsyncClient()
        await asyncio.gather(first.get("/subscribe/"), second.get("/pay/"))
        self.assertEqual(await Author.objects.filter(name="mailed").acount(), 2)
        (receipt,) = (
            t for t in shop.kept if t.get_name() == "receipt" and not t.done()
        )
        self.assertFalse(beside.done())
        beside.cancel()
        receipt.cancel()

    test_h_clean = Quick.check_clean

    async def test_i_sync_client(self):
        client = Client(wait_for_tasks=True)
        await run_sync(client.get, "/subscribe/")
        self.assertEqual(await Author.objects.acount(), 3)

    test_j_clean = Quick.check_clean

    def test_k_sync_test(self):
        Client(wait_for_tasks=True).get("/subscribe/")
        self.assertEqual(Author.objects.count(), 3)

    test_l_clean = Quick.check_clean


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
