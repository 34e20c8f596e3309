"""
``async_to_sync``: in the bridge it waits here, elsewhere it's asgiref's.
"""

from __future__ import annotations

import asyncio
import threading
import unittest

from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.test import TransactionTestCase

from django_evergreen.bridge import run_sync
from tests.app.models import Author


async def where():
    await asyncio.sleep(0)
    return threading.get_ident(), asyncio.get_running_loop(), asyncio.current_task()


async def test_in_the_bridge_it_waits_in_the_same_task():
    here = (
        threading.get_ident(),
        asyncio.get_running_loop(),
        asyncio.current_task(),
    )
    assert await run_sync(async_to_sync(where)) == here


def test_outside_it_is_asgiref_s():
    _, loop, _ = async_to_sync(where)()
    assert loop.is_closed()


def test_a_methods_below_a_sync_parent_use_its_thread_and_transaction(db):
    async def create():
        await Author.objects.acreate(name="B")
        return await Author.objects.acount()

    with transaction.atomic():
        Author.objects.create(name="A")
        assert async_to_sync(create)() == 2
        transaction.set_rollback(True)
    assert Author.objects.count() == 0


async def test_a_methods_below_a_thread_use_that_thread_and_its_transaction(db):
    async def create():
        await Author.objects.acreate(name="B")
        return await Author.objects.acount()

    def in_thread():
        from django.db import connection

        try:
            with transaction.atomic():
                Author.objects.create(name="A")
                count = async_to_sync(create)()
                transaction.set_rollback(True)
            return count
        finally:
            connection.close()

    assert await sync_to_async(in_thread)() == 2
    assert await Author.objects.acount() == 0


def test_stock_test_case_with_an_async_test(db):
    class Case(TransactionTestCase):
        def _fixture_teardown(self):
            pass  # The fixture of this test empties the tables.

        async def test(self):
            await Author.objects.acreate(name="A")
            self.assertEqual(await Author.objects.acount(), 1)

    result = unittest.TestResult()
    Case("test")(result)
    assert not result.errors
    assert not result.failures
    assert result.testsRun == 1
