"""
How many queries the views send, those of their templates included.
"""

from __future__ import annotations

import asyncio

from django_evergreen.test import AsyncTestCase
from places.tests.atlas import make_atlas, needs_evergreen


@needs_evergreen
class QueryTests(AsyncTestCase):
    """
    ``assertNumQueries()`` counts what the whole test sends, whichever task does it.
    """

    @classmethod
    def setUpTestData(cls) -> None:
        make_atlas()

    async def test_city_takes_one_query(self) -> None:
        async with self.assertNumQueries(1):
            await self.async_client.get("/api/cities/1/")

    async def test_country_takes_four_queries(self) -> None:
        # The country, its languages, its neighbours and its largest cities.
        async with self.assertNumQueries(4):
            await self.async_client.get("/api/countries/FR/")

    async def test_visitors_at_once_take_one_query_each(self) -> None:
        urls = [f"/api/cities/{number}/" for number in (1, 2, 3, 4)]
        async with self.assertNumQueries(4):
            responses = await asyncio.gather(*map(self.async_client.get, urls))
        names = [response.json()["name"] for response in responses]
        self.assertEqual(names, ["Paris", "Pau", "Lyon", "Brussels"])

    async def test_template_sends_its_own_queries(self) -> None:
        # The continents, and the countries of the only one.
        async with self.assertNumQueries(2) as queries:
            await self.async_client.get("/")
        self.assertIn("places_country", queries[1]["sql"])
