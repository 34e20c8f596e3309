"""
Hooks that Django calls and nobody awaits, and some that only look like it.
"""

from __future__ import annotations

import functools
import unittest

from asgiref.sync import async_to_sync
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from tests.app.models import Author


def run_by_itself(fn):
    @functools.wraps(fn)
    def decorated(self):
        return async_to_sync(fn)(self)

    return decorated


class AsyncSetUp(TestCase):
    async def setUp(self):
        self.author = await Author.objects.acreate(name="x")

    async def test_async(self):
        pass

    def test_sync(self):
        pass


class AsyncTearDownOfSyncTests(SimpleTestCase):
    async def tearDown(self):
        pass

    def test_sync(self):
        pass


class Base(TransactionTestCase):
    @classmethod
    async def setUpClass(cls):
        pass


class Inherited(Base):
    async def test_async(self):
        pass


@unittest.skip("broken")
class Skipped(TestCase):
    async def setUp(self):
        pass

    async def test_async(self):
        pass


class SyncInTheEnd(TestCase):
    @async_to_sync
    async def setUp(self):
        self.author = await Author.objects.acreate(name="x")

    @run_by_itself
    async def tearDown(self):
        await self.author.adelete()

    async def test_async(self):
        self.assertEqual(await Author.objects.aget(), self.author)

    def test_sync(self):
        self.assertEqual(Author.objects.get(), self.author)


class AsyncHooksOfSyncTests(TestCase):
    """
    They work in the classes of this package: here, too.
    """

    async def asyncSetUp(self):
        self.author = await Author.objects.acreate(name="x")

    def test_sync(self):
        self.assertEqual(Author.objects.get(), self.author)
