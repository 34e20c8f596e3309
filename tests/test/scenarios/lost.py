"""
Tests that lose their connection. Classes run in the order of their names.
"""

from __future__ import annotations

import asyncio

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connection, transaction

from django_evergreen.bridge import run_sync
from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author


class Clean:
    async def test_a_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)
        await Author.objects.acreate(name="x")

    async def test_b_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)


class A1Closing(AsyncTestCase):
    async def test_a(self):
        await Author.objects.acreate(name="x")
        await run_sync(connection.close)


class A2Clean(Clean, AsyncTestCase):
    pass


class A3Lost(AsyncTestCase):
    async def test_a(self):
        await Author.objects.acreate(name="x")
        await run_sync(self.lose)

    def lose(self):
        # As a server that restarts.
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        else:
            connection.connection.close()

    async def test_b(self):
        await Author.objects.acreate(name="x")


class A4Clean(Clean, AsyncTestCase):
    pass


class A5OldConnections(AsyncTestCase):
    """
    What a request would do that is made beside another one.
    """

    async def test_a(self):
        await Author.objects.acreate(name="x")
        await run_sync(close_old_connections)
        await sync_to_async(close_old_connections)()
        await asyncio.create_task(run_sync(close_old_connections))
        self.assertEqual(await Author.objects.acount(), 1)

    test_b_clean = Clean.test_b_clean


class AZClosingShared(AsyncTestCase):
    async def test_a(self):
        await asyncio.gather(*(Author.objects.acreate(name=str(n)) for n in range(2)))
        await sync_to_async(connection.close)()

    async def test_b(self):
        await Author.objects.acreate(name="x")


class B0Clean(AsyncTransactionTestCase):
    async def test_a_clean(self):
        """
        With a connection that a task has used before.
        """
        self.assertEqual(await asyncio.create_task(Author.objects.acount()), 0)
        self.assertEqual(await Author.objects.acount(), 0)

    test_b_clean = Clean.test_b_clean


class B1Lost(AsyncTransactionTestCase):
    async def test_a(self):
        await Author.objects.acreate(name="x")
        async with transaction.atomic():
            await Author.objects.acreate(name="x")
            await run_sync(A3Lost.lose, self)


class B2Clean(Clean, AsyncTransactionTestCase):
    pass
