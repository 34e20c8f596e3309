"""
The pages, whose templates run queries inside async views.
"""

from __future__ import annotations

from django.test import TestCase

from places.tests.atlas import make_atlas


class PagesTests(TestCase):
    """
    What the pages show.

    Django's own ``TestCase``, as in a project that has tests already. The runner has it
    run on the event loop, where the queries of a page join the test's transaction.
    """

    @classmethod
    def setUpTestData(cls) -> None:
        make_atlas()

    async def test_home_lists_countries_by_continent(self) -> None:
        response = await self.async_client.get("/")
        self.assertContains(response, "<h2>Europe</h2>", html=True)
        self.assertContains(response, "Belgium")

    async def test_country_follows_every_relation(self) -> None:
        response = await self.async_client.get("/countries/FR/")
        for text in ["Europe", "Euro (EUR)", "French", "Belgium", "Paris"]:
            self.assertContains(response, text)

    async def test_country_that_is_not_there(self) -> None:
        response = await self.async_client.get("/countries/XX/")
        self.assertEqual(response.status_code, 404)

    async def test_home_names_the_countries_seen_lately(self) -> None:
        first = await self.async_client.get("/")
        self.assertNotContains(first, "Seen lately")
        for code in ["FR", "BE", "FR"]:
            await self.async_client.get(f"/countries/{code}/")
        response = await self.async_client.get("/")
        self.assertContains(response, "Seen lately")
        seen = [country.code for country in response.context["recent"]]
        self.assertEqual(seen, ["FR", "BE"])
