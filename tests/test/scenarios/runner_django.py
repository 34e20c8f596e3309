"""
For the options of Django's runner.
"""

from __future__ import annotations

import asyncio
import unittest

from django.test import TestCase, TransactionTestCase, tag

from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author


class Failing:
    """
    Each fails by an error, after queries of different kinds.
    """

    async def test_1_async(self):
        local = "a local variable"
        await Author.objects.filter(name="of the body").acount()
        raise ZeroDivisionError(local)

    async def test_2_in_a_task(self):
        task = asyncio.create_task(Author.objects.filter(name="of a task").acount())
        await task
        raise ZeroDivisionError

    @tag("slow")
    def test_3_sync(self):
        Author.objects.filter(name="of sync code").count()
        raise ZeroDivisionError

    async def test_4_subtests(self):
        for number in range(3):
            with self.subTest(number=number):
                await Author.objects.filter(name=f"of subtest {number}").acount()
                self.assertEqual(number, 1)


class Rollback(Failing, AsyncTestCase):
    pass


class Flush(Failing, AsyncTransactionTestCase):
    pass


class Adopted(Failing, TestCase):
    pass


class AdoptedFlush(Failing, TransactionTestCase):
    pass


class Kept(AsyncTransactionTestCase):
    async def test_is_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)
        await Author.objects.acreate(name="x")


class KeptRollback(AsyncTestCase):
    @classmethod
    async def setUpTestData(cls):
        await Author.objects.acreate(name="x")

    async def test_is_clean(self):
        self.assertEqual(await Author.objects.acount(), 1)
        await Author.objects.acreate(name="x")


class Passing(AsyncTestCase):
    async def test_writes(self):
        await Author.objects.acreate(name="x")

    async def test_is_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)


class Debug(unittest.TestCase):
    databases = {"default"}

    def test_passing(self):
        for cls in (Passing, Kept):
            for _ in range(2):
                suite = unittest.defaultTestLoader.loadTestsFromTestCase(cls)
                suite.debug()

    def test_error(self):
        for cls in (Rollback, Flush):
            with self.subTest(cls=cls), self.assertRaises(ZeroDivisionError):
                cls("test_1_async").debug()
