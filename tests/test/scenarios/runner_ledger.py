"""
Tests that leave connections open, where nobody closes them.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.test import TransactionTestCase

from django_evergreen.test import AsyncTransactionTestCase
from tests.app.models import Author

executor = ThreadPoolExecutor(1)
kept = []


def count():
    return Author.objects.count()


class OwnExecutor(AsyncTransactionTestCase):
    async def test_thread_stays(self):
        sharing = sync_to_async(count, thread_sensitive=False, executor=executor)
        self.assertEqual(await sharing(), 0)
        loop = asyncio.get_running_loop()
        self.assertEqual(await loop.run_in_executor(executor, count), 0)


class OwnThread(AsyncTransactionTestCase):
    allowed_leftovers = ["holder"]

    async def test_thread_stays(self):
        has_opened, may_end = threading.Event(), threading.Event()

        def hold():
            Author.objects.count()
            has_opened.set()
            may_end.wait(600)

        threading.Thread(target=hold, name="holder", daemon=True).start()
        self.assertTrue(has_opened.wait(20))


class EndedThread(TransactionTestCase):
    def test_1_is_closed_after_the_test(self):
        def query():
            Author.objects.count()
            kept.append(connections["default"])

        thread = threading.Thread(target=query)
        thread.start()
        thread.join()
        self.assertIsNotNone(kept[-1].connection)

    def test_2(self):
        self.assertIsNone(kept[-1].connection)


class Copy(TransactionTestCase):
    def test_stays_open(self):
        copy = connection.copy()
        copy.ensure_connection()
        kept.append(copy)


class OtherProcess(TransactionTestCase):
    def test_stays_open(self):
        parameters = connection.get_connection_params()
        parameters["application_name"] = "reporting"
        other = connection.Database.connect(**parameters)
        other.execute("SELECT 1 AS last_statement")
        kept.append(other)


class Clean(AsyncTransactionTestCase):
    async def test_threads_of_asyncio(self):
        self.assertEqual(await sync_to_async(count)(), 0)
        for _ in range(3):
            in_thread = sync_to_async(count, thread_sensitive=False)
            self.assertEqual(await in_thread(), 0)
            self.assertEqual(await asyncio.to_thread(count), 0)
            loop = asyncio.get_running_loop()
            self.assertEqual(await loop.run_in_executor(None, count), 0)
