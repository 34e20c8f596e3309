"""
Several databases, none at all, and data that comes back after each test.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from django_evergreen.bridge import run_sync
from django_evergreen.db import new_connections
from django_evergreen.test import (
    AsyncSimpleTestCase,
    AsyncTestCase,
    AsyncTransactionTestCase,
)
from tests.app.models import Author

executor = ThreadPoolExecutor(1)


def query(alias):
    return Author.objects.using(alias).count()


async def in_other_connections(alias):
    async with new_connections():
        return await run_sync(query, alias)


def with_copy(alias):
    copy = connections[alias].copy()
    try:
        with copy.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        copy.close()


async def in_own_thread(alias):
    errors = []

    def work():
        try:
            query(alias)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)
    for error in errors:
        raise error


WAYS = {
    "awaited": lambda alias: Author.objects.using(alias).acount(),
    "in the bridge": lambda alias: run_sync(query, alias),
    "in a task": lambda alias: asyncio.create_task(run_sync(query, alias)),
    "in a thread": lambda alias: asyncio.to_thread(query, alias),
    "in asgiref's thread": lambda alias: sync_to_async(query)(alias),
    "in other connections": in_other_connections,
    "with a copy": lambda alias: run_sync(with_copy, alias),
    "in an own thread": in_own_thread,
    "in a thread that was connected": lambda alias: (
        asyncio.get_running_loop().run_in_executor(executor, query, alias)
    ),
}


class Both:
    databases = {"default", "other"}

    async def test_a(self):
        for alias in self.databases:
            await Author.objects.using(alias).acreate(name="x")
        await asyncio.to_thread(Author.objects.using("other").create, name="y")
        self.assertEqual(await Author.objects.using("default").acount(), 1)
        self.assertEqual(await Author.objects.using("other").acount(), 2)
        for way in WAYS.values():
            await way("other")

    async def test_b(self):
        for alias in self.databases:
            self.assertEqual(await Author.objects.using(alias).acount(), 0)
            await Author.objects.using(alias).acreate(name="x")


class BothRollback(Both, AsyncTestCase):
    pass


class BothFlush(Both, AsyncTransactionTestCase):
    pass


class BothAdopted(Both, TestCase):
    pass


class Forbidden:
    forbidden = "other"

    async def test_queries_are_refused(self):
        for name, way in WAYS.items():
            with self.subTest(name):
                with self.assertRaisesMessage(AssertionError, "not allowed"):
                    await way(self.forbidden)

    async def test_another_loop_is_refused(self):
        # Which another thread runs.
        def run():
            return asyncio.run(Author.objects.using(self.forbidden).acount())

        with self.assertRaisesMessage(AssertionError, "not allowed"):
            await asyncio.to_thread(run)


class ForbiddenRollback(Forbidden, AsyncTestCase):
    async def test_the_other_one_is_allowed(self):
        self.assertEqual(await Author.objects.acount(), 0)


class ForbiddenFlush(Forbidden, AsyncTransactionTestCase):
    async def test_the_other_one_is_allowed(self):
        self.assertEqual(await Author.objects.acount(), 0)


class ForbiddenAdopted(Forbidden, TransactionTestCase):
    pass


class ForbiddenSimple(Forbidden, AsyncSimpleTestCase):
    forbidden = "default"


class ForbiddenSimpleAdopted(Forbidden, SimpleTestCase):
    forbidden = "default"


class Serialized(AsyncTransactionTestCase):
    serialized_rollback = True
    reset_sequences = True

    async def check(self):
        # After a flush which sends no signal to make it anew.
        self.assertTrue(await Permission.objects.aexists())
        await Permission.objects.all().adelete()
        author = await Author.objects.acreate(name="x")
        self.assertEqual(author.pk, 1)

    test_a = test_b = check


class SerializedAdopted(TransactionTestCase):
    serialized_rollback = True
    reset_sequences = True
    test_a = test_b = Serialized.check
