"""
Tests in the middle of which Ctrl-C is pressed. They tell by printing where they are.
"""

from __future__ import annotations

import asyncio

from django.db import connection

from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author


def say(text):
    print(f"* {text}", flush=True)


class Interrupted:
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(say, "class cleanup")

    async def asyncSetUp(self):
        self.addAsyncCleanup(self.clean_up)

    async def clean_up(self):
        await Author.objects.acount()
        say("cleanup, after a query")

    async def asyncTearDown(self):
        say("tear-down")

    def _fixture_teardown(self):
        super()._fixture_teardown()
        say(f"reset, in a transaction: {connection.in_atomic_block}")

    async def test_1_waits(self):
        await Author.objects.acreate(name="x")
        self.task = asyncio.create_task(asyncio.sleep(3600), name="left over")
        say("in the body")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            say("cancelled")
            raise

    async def test_2_is_not_begun(self):
        say("another test")


class Rollback(Interrupted, AsyncTestCase):
    pass


class Flush(Interrupted, AsyncTransactionTestCase):
    pass


class Stubborn(AsyncTestCase):
    cancel_timeout = 3600

    async def test_waits(self):
        say("in the body")
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                say("cancelled")


class InHook(AsyncTestCase):
    @classmethod
    async def asyncSetUpClass(cls):
        say("in the body")
        await asyncio.sleep(3600)

    async def test_is_not_begun(self):
        say("another test")


class Sync(AsyncTransactionTestCase):
    def test_1(self):
        say("in the body")
        connection.close()
        input()

    def test_2_is_not_begun(self):
        say("another test")
