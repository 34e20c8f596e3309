"""
captureOnCommitCallbacks() in async tests.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools

from asgiref.sync import sync_to_async
from django.db import transaction
from django.test import TestCase

from django_evergreen.bridge import NotInBridge, portal, run_sync
from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author


async def create(name="a"):
    await Author.objects.acreate(name=name)


def create_in_sync():
    Author.objects.create(name="a")


class Sync:
    def test_sync(self):
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            with transaction.atomic():
                transaction.on_commit(create_in_sync)
            self.assertEqual(Author.objects.count(), 0)
        self.assertEqual(callbacks, [create_in_sync])
        self.assertEqual(Author.objects.count(), 1)


class SyncDjango(Sync, TestCase):
    pass


class Rollback(Sync, AsyncTestCase):
    databases = {"default", "other"}

    async def names(self):
        return [author.name async for author in Author.objects.order_by("pk")]

    async def test_executed(self):
        async with self.captureOnCommitCallbacks(execute=True) as callbacks:
            async with transaction.atomic():
                transaction.on_commit(functools.partial(create, "b"))
                transaction.on_commit(create_in_sync)
                transaction.on_commit(create)
            self.assertEqual(await self.names(), [])
        self.assertEqual(await self.names(), ["b", "a", "a"])
        self.assertEqual(callbacks[1:], [create_in_sync, create])

    async def test_of_tasks_and_threads(self):
        async def register():
            async with transaction.atomic():
                transaction.on_commit(create)

        async def register_when_asked():
            await asked.wait()
            await register()

        asked = asyncio.Event()
        running = asyncio.create_task(register_when_asked())
        await asyncio.sleep(0)
        async with self.captureOnCommitCallbacks(execute=True) as callbacks:
            asked.set()
            await asyncio.gather(running, register(), register())
            await asyncio.create_task(register(), context=contextvars.Context())
            await sync_to_async(transaction.on_commit)(create)
            await asyncio.to_thread(transaction.on_commit, create)
        self.assertEqual(callbacks, [create] * 6)
        self.assertEqual(await Author.objects.acount(), 6)

    async def test_that_register_others(self):
        async def register(depth):
            async with transaction.atomic():
                await create(str(depth))
                if depth:
                    transaction.on_commit(functools.partial(register, depth - 1))

        async with self.captureOnCommitCallbacks(execute=True) as callbacks:
            await register(3)
        self.assertEqual(len(callbacks), 3)
        self.assertEqual(await self.names(), ["3", "2", "1", "0"])

    async def test_robust_ones_are_logged(self):
        async def fail():
            await create()
            raise ZeroDivisionError

        with self.assertLogs("django.test", "ERROR") as logs:
            async with self.captureOnCommitCallbacks(execute=True):
                transaction.on_commit(fail, robust=True)
                transaction.on_commit(create)
        self.assertIn("fail", logs.output[0])
        self.assertEqual(await Author.objects.acount(), 2)
        with self.assertRaises(ZeroDivisionError):
            async with self.captureOnCommitCallbacks(execute=True):
                transaction.on_commit(fail)

    async def test_rolled_back(self):
        async with self.captureOnCommitCallbacks(execute=True) as callbacks:
            with self.assertRaises(ZeroDivisionError):
                async with transaction.atomic():
                    transaction.on_commit(create)
                    raise ZeroDivisionError
        self.assertEqual(callbacks, [])

    async def test_alias(self):
        async with self.captureOnCommitCallbacks(using="other") as others:
            async with self.captureOnCommitCallbacks() as callbacks:
                transaction.on_commit(create, using="other")
        self.assertEqual(others, [create])
        self.assertEqual(callbacks, [])

    async def test_called_by_the_test(self):
        with self.captureOnCommitCallbacks() as callbacks:
            transaction.on_commit(create)
            transaction.on_commit(create_in_sync)
        first, second = callbacks
        await first()
        await run_sync(second)
        self.assertEqual(await Author.objects.acount(), 2)

    async def test_with_can_not_wait(self):
        with self.assertRaisesMessage(NotInBridge, "Write `async with`"):
            with self.captureOnCommitCallbacks(execute=True):
                self.fail("entered")

    @portal
    async def test_portal(self):
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(create)
            transaction.on_commit(create_in_sync)
        self.assertEqual(Author.objects.count(), 2)


class Flush(AsyncTransactionTestCase):
    async def test_called_by_the_commit(self):
        async with transaction.atomic():
            transaction.on_commit(create)
            transaction.on_commit(create_in_sync)
        self.assertEqual(await Author.objects.acount(), 2)
        with self.assertRaises(AttributeError):
            self.captureOnCommitCallbacks()
