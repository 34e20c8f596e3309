"""
Tests that take too long, and clocks that stand still.
"""

from __future__ import annotations

import asyncio
import time

import time_machine
from asgiref.sync import sync_to_async
from django.db import transaction
from freezegun import freeze_time

from django_evergreen.bridge import await_, run_sync
from django_evergreen.test import (
    AsyncSimpleTestCase,
    AsyncTestCase,
    AsyncTransactionTestCase,
)
from tests.app.models import Author

from .leaks import query_endlessly

kept = []


def limited(seconds):
    def decorate(test):
        test.test_timeout = seconds
        return test

    return decorate


class TimeOuts:
    test_timeout = 0.2
    drain_timeout = 0.05
    cancel_timeout = 0.2

    @classmethod
    async def asyncSetUpClass(cls):
        await Author.objects.acreate(name="of the class")

    async def check_clean(self):
        self.assertEqual(await Author.objects.acount(), self.rows)

    async def wait_for_ever(self):
        await asyncio.sleep(3600)

    async def test_a_waits(self):
        await Author.objects.acreate(name="x")
        kept.append(asyncio.create_task(self.wait_for_ever(), name="beside"))
        await self.wait_for_ever()

    test_b_clean = check_clean

    async def test_c_stubborn(self):
        await Author.objects.acreate(name="x")
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

    test_d_clean = check_clean

    async def test_d_stubborn_in_a_transaction(self):
        await Author.objects.acreate(name="x")
        async with transaction.atomic(), transaction.atomic():
            await Author.objects.acreate(name="x")
            await self.test_c_stubborn()

    test_d_zclean = check_clean

    async def test_e_query(self):
        await run_sync(query_endlessly)

    test_f_clean = check_clean

    async def test_g_thread(self):
        await sync_to_async(query_endlessly)()

    test_h_clean = check_clean

    async def test_i_cleans_up_in_time(self):
        try:
            await asyncio.sleep(3600)
        finally:
            await Author.objects.acreate(name="x")

    test_j_clean = check_clean

    async def test_k_swallows_its_cancellation(self):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

    test_l_clean = check_clean

    @limited(None)
    async def test_m_no_limit(self):
        await asyncio.sleep(0.3)

    @limited(0.01)
    async def test_n_limit_of_the_method(self):
        await asyncio.sleep(0.15)

    async def test_o_own_timeout(self):
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(3600)

    test_p_clean = check_clean


class Rollback(TimeOuts, AsyncTestCase):
    rows = 1

    def test_q_sync_code_in_the_bridge(self):
        await_(asyncio.sleep(3600))

    test_r_clean = TimeOuts.check_clean


class Flush(TimeOuts, AsyncTransactionTestCase):
    # What the class has made is flushed after the first test.
    rows = 0


class FrozenClocks(AsyncTestCase):
    drain_timeout = 0.05

    @freeze_time("2024-01-01")
    async def test_a_freezegun(self):
        await self.sleep()

    @time_machine.travel(1_700_000_000.0, tick=False)
    async def test_b_time_machine(self):
        self.assertEqual(time.time(), 1_700_000_000.0)
        await self.sleep()

    async def test_c_inside(self):
        with freeze_time("2024-01-01"):
            await self.sleep()
        with time_machine.travel(1_700_000_000.0, tick=False):
            await self.sleep()

    async def sleep(self):
        await asyncio.sleep(0.01)
        await Author.objects.acreate(name="x")
        await sync_to_async(Author.objects.count)()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(3600)

    test_d_clean = TimeOuts.check_clean
    rows = 0


@freeze_time("2024-01-01")
class FrozenClass(AsyncSimpleTestCase):
    drain_timeout = 0.05
    cancel_timeout = 0.2

    async def test_a_leftover(self):
        kept.append(asyncio.create_task(asyncio.sleep(3600), name="frozen"))

    async def test_b_short_task(self):
        kept.append(asyncio.create_task(asyncio.sleep(0.01)))

    @limited(0.05)
    async def test_c_timeout(self):
        await asyncio.sleep(3600)


@time_machine.travel(1_700_000_000.0, tick=False)
class TravellingClass(AsyncSimpleTestCase):
    drain_timeout = 0.05
    cancel_timeout = 0.2

    async def test_a_leftover(self):
        kept.append(asyncio.create_task(asyncio.sleep(3600), name="frozen"))

    async def test_b_short_task(self):
        kept.append(asyncio.create_task(asyncio.sleep(0.01)))
