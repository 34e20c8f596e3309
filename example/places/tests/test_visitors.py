"""
Several visitors at once, and one who leaves.
"""

from __future__ import annotations

import asyncio

from django.db import transaction

from django_evergreen.test import AsyncTransactionTestCase
from places.models import City, Country
from places.tests.atlas import make_atlas, needs_evergreen


@needs_evergreen
class VisitorTests(AsyncTransactionTestCase):
    """
    Nothing is rolled back here: what the tests commit is flushed afterwards.
    """

    test_timeout = 20

    def setUp(self) -> None:
        make_atlas()

    async def test_everyone_sees_the_same_page(self) -> None:
        async with asyncio.TaskGroup() as visitors:
            visits = [
                visitors.create_task(self.async_client.get("/countries/FR/"))
                for _ in range(8)
            ]
        for visit in visits:
            self.assertContains(visit.result(), "Paris")

    async def test_visitor_who_leaves_disturbs_nobody(self) -> None:
        leaving = asyncio.create_task(self.async_client.get("/countries/FR/"))
        staying = asyncio.create_task(self.async_client.get("/countries/BE/"))
        await asyncio.sleep(0)
        leaving.cancel()
        self.assertContains(await staying, "Brussels")
        with self.assertRaises(asyncio.CancelledError):
            await leaving

    async def test_move_is_told_when_it_is_committed(self) -> None:
        async def move_all_cities() -> None:
            belgium = await Country.objects.aget(code="BE")
            async with transaction.atomic():
                async for city in City.objects.filter(country="FR"):
                    city.country = belgium
                    await city.asave()
                transaction.on_commit(told.set)

        told = asyncio.Event()
        await asyncio.gather(move_all_cities(), told.wait())
        response = await self.async_client.get("/api/countries/BE/")
        self.assertEqual(len(response.json()["largest_cities"]), 4)
