"""
What a project writes every day.
"""

from __future__ import annotations

import asyncio
import contextvars

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.test import Client

from django_evergreen.bridge import run_sync
from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author

variable = contextvars.ContextVar("variable", default="unset")


class RollbackTests(AsyncTestCase):
    @classmethod
    async def setUpTestData(cls):
        cls.author = await Author.objects.acreate(name="of the class")

    def setUp(self):
        Author.objects.create(name="sync set-up")

    async def asyncSetUp(self):
        self.task = asyncio.current_task()
        self.loop = asyncio.get_running_loop()
        variable.set("set-up")
        await Author.objects.acreate(name="async set-up")
        self.addAsyncCleanup(self.clean_up)

    async def clean_up(self):
        self.assertIs(asyncio.current_task(), self.task)
        self.assertEqual(await Author.objects.filter(name="x").acount(), 0)

    async def asyncTearDown(self):
        self.assertIs(asyncio.current_task(), self.task)
        self.assertTrue(connection.in_atomic_block)

    async def test_a_rows_of_all_set_ups_are_there(self):
        self.assertEqual(
            [a.name async for a in Author.objects.order_by("pk")],
            ["of the class", "sync set-up", "async set-up"],
        )
        self.assertEqual(variable.get(), "set-up")
        self.assertIs(asyncio.current_task(), self.task)
        self.author.name = "changed"
        variable.set("a")

    async def test_b_rows_of_the_test_before_are_gone(self):
        await Author.objects.acreate(name="b")
        self.assertEqual(await Author.objects.acount(), 4)
        self.assertEqual(self.author.name, "of the class")
        self.assertEqual(variable.get(), "set-up")

    def test_c_sync(self):
        self.assertEqual(Author.objects.count(), 3)
        Author.objects.create(name="c")

    async def test_d_threads_and_tasks_see_the_rows(self):
        self.assertEqual(await sync_to_async(Author.objects.count)(), 3)
        self.assertEqual(await asyncio.to_thread(Author.objects.count), 3)
        await asyncio.gather(*(Author.objects.acreate(name=str(n)) for n in range(5)))
        self.assertEqual(await Author.objects.acount(), 8)

    async def test_e_clients(self):
        response = await self.async_client.get("/missing/")
        self.assertEqual(response.status_code, 404)
        response = await run_sync(Client().get, "/missing/")
        self.assertEqual(response.status_code, 404)
        self.assertEqual(await Author.objects.acount(), 3)

    async def test_f_inner_transactions(self):
        async with transaction.atomic():
            await Author.objects.acreate(name="kept")
        with self.assertRaises(ZeroDivisionError):
            async with transaction.atomic():
                await Author.objects.acreate(name="rolled back")
                raise ZeroDivisionError
        self.assertEqual(await Author.objects.acount(), 4)

    async def test_g_a_task_in_an_empty_context_belongs_to_it(self):
        task = asyncio.create_task(
            Author.objects.acount(), context=contextvars.Context()
        )
        self.assertEqual(await task, 3)


class FlushTests(AsyncTransactionTestCase):
    async def test_a(self):
        async with transaction.atomic():
            await Author.objects.acreate(name="committed")
        self.assertEqual(await Author.objects.acount(), 1)

    async def test_b(self):
        self.assertEqual(await Author.objects.acount(), 0)

    def test_c_sync(self):
        self.assertEqual(Author.objects.count(), 0)
        with self.assertRaises(RuntimeError):
            asyncio.get_running_loop()
