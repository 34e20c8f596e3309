"""
The countries a visitor has looked at lately, by the ORM and the session alone.
"""

from __future__ import annotations

import asyncio

from django.contrib.sessions.backends.db import SessionStore
from django.db.models import F

from django_evergreen.test import AsyncTestCase
from places.models import Country
from places.recent import LENGTH, recent_countries, remember
from places.tests.atlas import make_atlas, needs_evergreen


@needs_evergreen
class RecentTests(AsyncTestCase):
    """
    Async hooks and bodies: one task and one transaction with the sync ones.
    """

    # Seconds. None of these tests should take longer.
    test_timeout = 20

    @classmethod
    def setUpTestData(cls) -> None:
        make_atlas()

    async def asyncSetUp(self) -> None:
        self.session = SessionStore()
        await self.session.acreate()
        self.france = await Country.objects.aget(code="FR")

    async def test_country_comes_first_and_once(self) -> None:
        async for country in Country.objects.order_by("code"):
            await remember(self.session, country)
        await remember(self.session, self.france)
        codes = [country.code for country in await recent_countries(self.session)]
        self.assertEqual(codes, ["FR", "BE"])

    async def test_only_the_latest_are_kept(self) -> None:
        islands = [
            Country(code=f"X{n}", name=f"Island {n}", area_km2=1, population=1)
            for n in range(LENGTH + 1)
        ]
        for island in islands:
            island.continent_id = "EU"
        for island in await Country.objects.abulk_create(islands):
            await remember(self.session, island)
        self.assertEqual(
            [country.code for country in await recent_countries(self.session)],
            ["X5", "X4", "X3", "X2", "X1"],
        )

    async def test_country_that_is_gone_is_left_out(self) -> None:
        await remember(self.session, self.france)
        await Country.objects.filter(code="FR").adelete()
        self.assertEqual(await recent_countries(self.session), [])

    async def test_next_request_finds_it_in_the_saved_session(self) -> None:
        await remember(self.session, self.france)
        await self.session.asave()
        self.async_client.cookies["sessionid"] = self.session.session_key
        response = await self.async_client.get("/")
        self.assertContains(response, "Seen lately")

    async def test_change_in_the_background_is_seen(self) -> None:
        async def grow() -> None:
            await asked.wait()
            france = Country.objects.filter(code="FR")
            await france.aupdate(population=F("population") + 1)

        asked = asyncio.Event()
        task = asyncio.create_task(grow())
        await remember(self.session, self.france)
        asked.set()
        # Without this line the test fails, and the report names `grow`.
        await task
        [country] = await recent_countries(self.session)
        self.assertEqual(country.population, self.france.population + 1)
