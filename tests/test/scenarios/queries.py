"""
assertNumQueries() in async tests.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connection, transaction
from django.db.backends.signals import connection_created
from django.test import TestCase, TransactionTestCase

from django_evergreen.bridge import portal, run_sync
from django_evergreen.db import close_pools, new_connections
from django_evergreen.db._query_log import listeners
from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from django_evergreen.test._queries import CaptureQueriesContext
from tests.app.models import Author, Book

numbers = itertools.count()


def verbs(queries):
    return [query["sql"].partition(" ")[0] for query in queries]


def work():
    with transaction.atomic():
        author = Author.objects.create(name="a")
        with transaction.atomic():
            Book.objects.create(title="b", author=author)
    list(Author.objects.prefetch_related("books"))
    Author.objects.get_or_create(name=f"new {next(numbers)}")
    fail()


async def awork():
    async with transaction.atomic():
        author = await Author.objects.acreate(name="a")
        async with transaction.atomic():
            await Book.objects.acreate(title="b", author=author)
    async for _ in Author.objects.prefetch_related("books"):
        pass
    await Author.objects.aget_or_create(name=f"new {next(numbers)}")
    await run_sync(fail)


def fail():
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany("INSERT INTO missing VALUES (%s)", [(1,), (2,)])
    except DatabaseError:
        pass


def count_in_thread():
    Author.objects.count()
    connection.close()


class OfRollback:
    # What work() sends.
    statements = [
        *("SAVEPOINT", "INSERT", "SAVEPOINT", "INSERT", "RELEASE", "RELEASE"),
        *("SELECT", "SELECT"),
        *("SELECT", "SAVEPOINT", "INSERT", "RELEASE"),
        *("SAVEPOINT", "2", "ROLLBACK", "RELEASE"),
    ]


class OfFlush:
    statements = [
        *("BEGIN", "INSERT", "SAVEPOINT", "INSERT", "RELEASE", "COMMIT"),
        *("SELECT", "SELECT"),
        *("SELECT", "BEGIN", "INSERT", "COMMIT"),
        *("BEGIN", "2", "ROLLBACK"),
    ]


class Sync:
    """
    Sync tests count as Django does, on whatever class.
    """

    def test_statements(self):
        with self.assertNumQueries(len(self.statements)) as context:
            work()
        self.assertEqual(verbs(context), self.statements)
        self.assertNumQueries(len(self.statements), work)

    def test_other_threads_are_not_counted(self):
        with self.assertNumQueries(0):
            thread = threading.Thread(target=count_in_thread)
            thread.start()
            thread.join()


class SyncRollback(OfRollback, Sync, TestCase):
    pass


class SyncFlush(OfFlush, Sync, TransactionTestCase):
    pass


class SyncRollbackInEngine(OfRollback, Sync, AsyncTestCase):
    pass


class SyncFlushInEngine(OfFlush, Sync, AsyncTransactionTestCase):
    pass


class Async:
    databases = {"default", "other"}
    cancel_timeout = 0.2

    async def test_statements(self):
        async with self.assertNumQueries(len(self.statements)) as context:
            await awork()
        self.assertEqual(verbs(context), self.statements)
        await Author.objects.acount()
        self.assertEqual(len(context), len(self.statements))

    async def test_statements_in_with(self):
        with self.assertNumQueries(len(self.statements)) as context:
            await awork()
        self.assertEqual(verbs(context), self.statements)

    async def test_statements_of_sync_code_below(self):
        def check():
            with self.assertNumQueries(len(self.statements)):
                work()
            self.assertNumQueries(len(self.statements), awork)

        await run_sync(check)

    async def test_statements_of_functions(self):
        await self.assertNumQueries(len(self.statements), work)
        await self.assertNumQueries(len(self.statements), awork)
        await self.assertNumQueries(1, Author.objects.filter(name="a").acount)
        with self.assertRaises(AssertionError):
            await self.assertNumQueries(0, Author.objects.acreate, name="a")

    async def test_captured_without_a_number(self):
        async with CaptureQueriesContext(connection) as context:
            await awork()
        self.assertEqual(verbs(context), self.statements)
        self.assertEqual(context[1]["sql"][:6], "INSERT")

    async def test_failure_is_that_of_django(self):
        def fail_in_sync():
            with TestCase.assertNumQueries(self, 1):
                work()

        messages = []
        for fails in (fail_in_sync, awork):
            with self.assertRaises(AssertionError) as caught:
                if fails is awork:
                    async with self.assertNumQueries(1):
                        await awork()
                else:
                    await run_sync(fails)
            messages.append(str(caught.exception).splitlines())
        first, second = messages
        number = len(self.statements)
        message = f"{number} != 1 : {number} queries executed, 1 expected"
        self.assertEqual(first[:2], [message, "Captured queries were:"])
        self.assertEqual(first[:2], second[:2])
        self.assertEqual(
            [line.split('"')[0] for line in first[2:]],
            [line.split('"')[0] for line in second[2:]],
        )

    async def test_tasks_and_threads(self):
        async def count_when_asked():
            await asked.wait()
            await Author.objects.acount()

        asked = asyncio.Event()
        running = asyncio.create_task(count_when_asked())
        await asyncio.sleep(0)
        # Has a connection of its own before the block.
        await asyncio.to_thread(Author.objects.count)
        async with self.assertNumQueries(17) as context:
            await Author.objects.acount()
            for _ in range(2):
                # The second time by wrappers of tasks that are over.
                await asyncio.gather(*(Author.objects.acount() for _ in range(5)))
            asked.set()
            await running
            await asyncio.create_task(
                Author.objects.acount(), context=contextvars.Context()
            )
            await sync_to_async(Author.objects.count)()
            await asyncio.to_thread(Author.objects.count)
            thread = threading.Thread(target=count_in_thread)
            thread.start()
            await asyncio.to_thread(thread.join)
            async with new_connections():
                await Author.objects.acount()
        self.assertEqual(set(verbs(context)), {"SELECT"})

    async def test_requests(self):
        author = await Author.objects.acreate(name="a")
        book = await Book.objects.acreate(title="b", author=author)
        async with self.assertNumQueries(4):
            # Django forgets the log of queries when a request begins.
            await Author.objects.acount()
            await self.async_client.get(f"/books/{book.pk}/page/")

    async def test_alias(self):
        async with self.assertNumQueries(1, using="other") as others:
            async with self.assertNumQueries(2):
                await asyncio.gather(
                    Author.objects.acount(),
                    Author.objects.acount(),
                    Author.objects.using("other").acount(),
                )
        self.assertEqual(len(others), 1)

    async def test_nested(self):
        async with self.assertNumQueries(3):
            await Author.objects.acount()
            async with self.assertNumQueries(1):
                await Author.objects.acount()
            await Author.objects.acount()
        self.assertEqual(listeners, [])
        self.assertFalse(connection.queries_logged)

    async def test_error_in_the_block(self):
        with self.assertRaises(ZeroDivisionError):
            async with self.assertNumQueries(0):
                await Author.objects.acount()
                raise ZeroDivisionError
        self.assertEqual(listeners, [])

    @portal
    async def test_portal(self):
        with self.assertNumQueries(3):
            list(Author.objects.all())
            await asyncio.to_thread(Author.objects.count)
            await asyncio.create_task(Author.objects.acount())
        self.assertNumQueries(1, Author.objects.acount)

    async def test_without_its_await_a_query_is_refused(self):
        with self.assertRaises(SynchronousOnlyOperation):
            with self.assertNumQueries(1):
                Author.objects.count()


class AsyncRollback(OfRollback, Async, AsyncTestCase):
    pass


class AsyncFlush(OfFlush, Async, AsyncTransactionTestCase):
    async def test_what_opens_a_connection_is_not_counted(self):
        def query_when_opened(connection, **kwargs):
            opened.append(connection)
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")

        async def count_in_a_task():
            await Author.objects.acount()

        opened = []
        connection_created.connect(query_when_opened)
        self.addCleanup(connection_created.disconnect, query_when_opened)
        await close_pools()
        async with self.assertNumQueries(3):
            await asyncio.gather(*(count_in_a_task() for _ in range(2)))
            await asyncio.to_thread(count_in_thread)
        self.assertTrue(opened)


class BrokenOff(AsyncTestCase):
    cancel_timeout = 0.1
    test_timeout = 0.1

    async def test_a_timeout_in_a_block(self):
        async with self.assertNumQueries(0):
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass

    async def test_b_clean(self):
        self.assertEqual(listeners, [])
        async with self.assertNumQueries(1):
            await Author.objects.acount()
