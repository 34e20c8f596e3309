"""
Hooks that fail. Classes run in the order of their names: after each one that fails
comes one that finds the database clean.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading

from django.db import connection

from django_evergreen.test import (
    AsyncSimpleTestCase,
    AsyncTestCase,
    AsyncTransactionTestCase,
)
from tests.app.models import Author

calls = []
variable = contextvars.ContextVar("variable", default="unset")


async def fail(where):
    await Author.objects.acreate(name=where)
    raise ValueError(where)


async def note(text):
    calls.append((text, await Author.objects.acount()))


class Clean:
    # The cleanups of the class before, and how many rows they saw.
    expected = []

    async def test_clean(self):
        found, calls[:] = calls[:], []
        self.assertEqual(found, self.expected)
        self.assertEqual(await Author.objects.acount(), 0)


class SetUpFails:
    async def asyncSetUp(self):
        self.addAsyncCleanup(note, "clean-up")
        await fail("asyncSetUp")

    async def asyncTearDown(self):
        calls.append("never called")

    async def test_a(self):
        calls.append("never called")

    async def test_b(self):
        calls.append("never called")


class A1SetUpFails(SetUpFails, AsyncTestCase):
    pass


class A2Clean(Clean, AsyncTestCase):
    expected = [("clean-up", 1), ("clean-up", 1)]


class B1SetUpFails(SetUpFails, AsyncTransactionTestCase):
    pass


class B2Clean(Clean, AsyncTransactionTestCase):
    expected = [("clean-up", 1), ("clean-up", 1)]


class SetUpClassFails:
    @classmethod
    async def asyncSetUpClass(cls):
        cls.addAsyncClassCleanup(note, "class clean-up")
        await Author.objects.acreate(name="x")
        raise ValueError("asyncSetUpClass")

    async def test_a(self):
        calls.append("never called")

    test_b = test_a


class A3SetUpClassFails(SetUpClassFails, AsyncTestCase):
    pass


class A4Clean(Clean, AsyncTestCase):
    # The transaction of the class was rolled back before.
    expected = [("class clean-up", 0)]


class A5SetUpTestDataFails(AsyncTestCase):
    @classmethod
    async def setUpTestData(cls):
        await fail("setUpTestData")

    async def test_a(self):
        calls.append("never called")


class A6Clean(Clean, AsyncTestCase):
    pass


class A7SyncSetUpTestDataFails(AsyncTestCase):
    @classmethod
    def setUpTestData(cls):
        Author.objects.create(name="x")
        raise ValueError("sync setUpTestData")

    async def test_a(self):
        calls.append("never called")


class A8Clean(Clean, AsyncTestCase):
    pass


class TearDownFails:
    async def asyncTearDown(self):
        self.addAsyncCleanup(note, "clean-up")
        self.addAsyncCleanup(fail, "clean-up that fails")
        await fail("asyncTearDown")

    async def test_a(self):
        await Author.objects.acreate(name="x")

    async def test_b_clean_before_teardown(self):
        self.assertEqual(await Author.objects.acount(), 0)


class A9TearDownFails(TearDownFails, AsyncTestCase):
    pass


class AAClean(Clean, AsyncTestCase):
    expected = [("clean-up", 3), ("clean-up", 2)]


class B3TearDownFails(TearDownFails, AsyncTransactionTestCase):
    pass


class B4Clean(Clean, AsyncTransactionTestCase):
    expected = [("clean-up", 3), ("clean-up", 2)]


class TearDownClassFails:
    @classmethod
    async def asyncTearDownClass(cls):
        raise ValueError("asyncTearDownClass")

    async def test_a(self):
        await Author.objects.acreate(name="x")


class ABTearDownClassFails(TearDownClassFails, AsyncTestCase):
    @classmethod
    async def setUpTestData(cls):
        await Author.objects.acreate(name="of the class")


class ACClean(Clean, AsyncTestCase):
    pass


class ADClassCleanupFails(AsyncTestCase):
    @classmethod
    async def asyncSetUpClass(cls):
        await Author.objects.acreate(name="of the class")
        cls.addAsyncClassCleanup(note, "class clean-up")
        cls.addAsyncClassCleanup(cls.fail_at_the_end)

    @classmethod
    async def fail_at_the_end(cls):
        raise ValueError("class clean-up")

    async def test_a(self):
        self.assertEqual(await Author.objects.acount(), 1)


class AEClean(Clean, AsyncTestCase):
    expected = [("class clean-up", 0)]


class AFContexts(AsyncTestCase):
    async def asyncSetUp(self):
        self.task = asyncio.current_task()
        self.group = await self.enterAsyncContext(asyncio.TaskGroup())
        self.timeout = await self.enterAsyncContext(asyncio.timeout(60))
        variable.set("asyncSetUp")

    def setUp(self):
        variable.set("setUp")

    async def asyncTearDown(self):
        self.assertIs(asyncio.current_task(), self.task)
        self.assertEqual(variable.get(), "body")

    async def test_a_task_of_the_group_is_waited_for(self):
        self.assertIs(asyncio.current_task(), self.task)
        self.assertEqual(variable.get(), "asyncSetUp")
        variable.set("body")
        self.group.create_task(Author.objects.acreate(name="in the group"))

    async def test_b_error_of_the_group(self):
        variable.set("body")
        self.group.create_task(fail("in the group"))

    async def test_c_clean(self):
        self.assertEqual(variable.get(), "asyncSetUp")
        variable.set("body")
        self.assertEqual(await Author.objects.acount(), 0)


class CSyncTests(AsyncSimpleTestCase):
    """
    Sync tests of a class without a transaction run outside the loop.
    """

    def test_sync(self):
        with self.assertRaises(RuntimeError):
            asyncio.get_running_loop()
        self.assertIs(threading.current_thread(), threading.main_thread())

    async def test_async(self):
        asyncio.get_running_loop()
        self.assertIs(threading.current_thread(), threading.main_thread())


class B5SyncTests(AsyncTransactionTestCase):
    def test_sync(self):
        with self.assertRaises(RuntimeError):
            asyncio.get_running_loop()
        self.assertFalse(connection.in_atomic_block)
        Author.objects.create(name="x")

    def test_sync_clean(self):
        self.assertEqual(Author.objects.count(), 0)


class AGSyncTests(AsyncTestCase):
    def test_sync(self):
        self.assertTrue(connection.in_atomic_block)
        Author.objects.create(name="x")

    def test_sync_clean(self):
        self.assertEqual(Author.objects.count(), 0)
