"""
Django's own classes, as projects have them: nothing is imported from this package.
"""

from __future__ import annotations

import asyncio
import functools
from unittest import IsolatedAsyncioTestCase, expectedFailure, mock, skip

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import connection, transaction
from django.test import (
    LiveServerTestCase,
    SimpleTestCase,
    TestCase,
    TransactionTestCase,
    override_settings,
)

from tests.app.models import Author

loops = set()


def note_loop():
    loops.add(asyncio.get_running_loop())


def bases(test):
    return [base.__name__ for base in type(test).__mro__]


def awaiting_nothing(fn):
    @functools.wraps(fn)
    def decorated(self):
        return fn(self)

    return decorated


class RollbackTests(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.in_set_up = Author.objects.count()

    @classmethod
    def setUpTestData(cls):
        cls.author = Author.objects.create(name="of the class")

    def setUp(self):
        Author.objects.create(name="of set-up")

    async def test_a_async(self):
        note_loop()
        self.assertEqual(self.in_set_up, 1)
        await Author.objects.acreate(name="a")
        self.assertEqual(await Author.objects.acount(), 3)
        self.author.name = "changed"

    async def test_b_async(self):
        note_loop()
        self.assertEqual(await sync_to_async(Author.objects.count)(), 2)
        await asyncio.gather(*(Author.objects.acreate(name=str(n)) for n in range(3)))
        self.assertEqual(await Author.objects.acount(), 5)
        self.assertEqual(self.author.name, "of the class")

    def test_c_sync(self):
        self.assertEqual(Author.objects.count(), 2)
        self.assertTrue(connection.in_atomic_block)

    async def test_d_clients(self):
        response = await self.async_client.get("/missing/")
        self.assertEqual(response.status_code, 404)

    def test_e_sync_client(self):
        self.assertEqual(self.client.get("/missing/").status_code, 404)

    async def test_f_one_loop(self):
        note_loop()
        self.assertEqual(len(loops), 1)


class DerivedTests(RollbackTests):
    """
    It overrides a hook of a class which is adopted, too.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        Author.objects.create(name="later")
        cls.in_set_up = Author.objects.count() - 1

    async def test_a_async(self):
        self.assertEqual(await Author.objects.acount(), 3)

    test_b_async = test_c_sync = None


class SyncTests(TestCase):
    def test_is_untouched(self):
        self.assertNotIn("AsyncTestMixin", bases(self))
        with self.assertRaises(RuntimeError):
            asyncio.get_running_loop()
        self.assertEqual(Author.objects.count(), 0)


class AsyncBelowSyncTests(SyncTests):
    test_is_untouched = None

    async def test_a(self):
        self.assertIn("AsyncTestMixin", bases(self))
        await Author.objects.acreate(name="x")


class FlushTests(TransactionTestCase):
    async def test_a(self):
        note_loop()
        async with transaction.atomic():
            await Author.objects.acreate(name="committed")
        self.assertEqual(len(loops), 1)

    async def test_b(self):
        self.assertEqual(await Author.objects.acount(), 0)

    def test_c_sync_tests_have_no_loop(self):
        self.assertEqual(Author.objects.count(), 0)
        self.assertEqual(asyncio.run(asyncio.sleep(0, "done")), "done")


class SimpleTests(SimpleTestCase):
    async def test_no_queries(self):
        note_loop()
        with self.assertRaisesMessage(AssertionError, "not allowed"):
            await Author.objects.acount()


class LiveServerTests(LiveServerTestCase):
    async def test_async(self):
        self.assertIn("http://", self.live_server_url)
        self.assertEqual(await Author.objects.acount(), 0)


class DecoratedTests(SimpleTestCase):
    @override_settings(APPEND_SLASH="of the test")
    async def test_settings(self):
        await asyncio.sleep(0)
        self.assertEqual(settings.APPEND_SLASH, "of the test")

    @mock.patch(f"{__name__}.note_loop")
    async def test_mock(self, patched):
        await asyncio.sleep(0)
        self.assertIs(note_loop, patched)

    @expectedFailure
    async def test_expected_failure(self):
        await asyncio.sleep(0)
        raise AssertionError

    @async_to_sync
    async def test_async_to_sync(self):
        note_loop()
        self.assertEqual(len(loops), 1)


class SkippedTests(SimpleTestCase):
    # Alone, as Python 3.12.1 doesn't count what is skipped, by which Django's workers
    # tell the tests of a class apart.
    @skip("a reason")
    async def test_skipped(self):
        raise AssertionError


class ReturningTests(SimpleTestCase):
    @awaiting_nothing
    async def test_fails(self):
        await asyncio.sleep(0)
        raise AssertionError("it was awaited")


@override_settings(APPEND_SLASH="of the class")
class OverriddenTests(SimpleTestCase):
    async def test_settings(self):
        await asyncio.sleep(0)
        self.assertEqual(settings.APPEND_SLASH, "of the class")


class AsyncDataTests(TestCase):
    @classmethod
    async def setUpTestData(cls):
        cls.author = await Author.objects.acreate(name="async")

    def test_sync(self):
        self.assertEqual(Author.objects.get(), self.author)


class IsolatedTests(IsolatedAsyncioTestCase):
    async def test_is_left_alone(self):
        self.assertNotIn("AsyncTestMixin", bases(self))
        self.assertNotIn(asyncio.get_running_loop(), loops)


class MixedTests(IsolatedAsyncioTestCase, SimpleTestCase):
    async def test_is_left_alone(self):
        self.assertNotIn("AsyncTestMixin", bases(self))
