"""
The JSON views.
"""

from __future__ import annotations

from django.test import TestCase

from places.tests.atlas import make_atlas


class ApiTests(TestCase):
    """
    Django's own ``TestCase`` and async client.
    """

    @classmethod
    def setUpTestData(cls) -> None:
        make_atlas()

    async def test_city_comes_with_country_and_continent(self) -> None:
        response = await self.async_client.get("/api/cities/2/")
        self.assertEqual(
            response.json(),
            {
                "id": 2,
                "name": "Pau",
                "population": 80_000,
                "latitude": 48.5,
                "longitude": 2.5,
                "timezone": "Europe/Paris",
                "country": {"code": "FR", "name": "France"},
                "continent": "Europe",
            },
        )

    async def test_city_that_is_not_there(self) -> None:
        response = await self.async_client.get("/api/cities/5/")
        self.assertEqual(response.status_code, 404)

    async def test_country_comes_with_its_relations(self) -> None:
        response = await self.async_client.get("/api/countries/fr/")
        country = response.json()
        self.assertEqual(country["continent"], "Europe")
        self.assertEqual(country["currency"], "Euro")
        self.assertEqual(country["languages"], ["French"])
        self.assertEqual(country["neighbours"], ["BE"])

    async def test_largest_cities_come_first(self) -> None:
        response = await self.async_client.get("/api/countries/FR/")
        names = [city["name"] for city in response.json()["largest_cities"]]
        self.assertEqual(names, ["Paris", "Lyon", "Pau"])

    async def test_search_finds_beginnings_of_names(self) -> None:
        response = await self.async_client.get("/api/cities/", {"q": "pa"})
        names = [city["name"] for city in response.json()["cities"]]
        self.assertEqual(names, ["Paris", "Pau"])
