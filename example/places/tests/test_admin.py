"""
The admin, through the async client.
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import TestCase

from places.tests.atlas import make_atlas

LISTS = ["continent", "currency", "language", "country", "city"]


class AdminTests(TestCase):
    """
    Every list opens, and a change is saved.
    """

    @classmethod
    def setUpTestData(cls) -> None:
        make_atlas()
        cls.admin = User.objects.create_superuser("admin")

    async def test_lists_open_and_search(self) -> None:
        await self.async_client.aforce_login(self.admin)
        for model in LISTS:
            with self.subTest(model=model):
                url = f"/admin/places/{model}/"
                response = await self.async_client.get(url, {"q": "e"})
                self.assertEqual(response.status_code, 200)

    async def test_change_is_saved(self) -> None:
        await self.async_client.aforce_login(self.admin)
        url = "/admin/places/continent/EU/change/"
        response = await self.async_client.post(url, {"code": "EU", "name": "Europa"})
        self.assertEqual(response.headers["Location"], "/admin/places/continent/")
        api = await self.async_client.get("/api/cities/1/")
        self.assertEqual(api.json()["continent"], "Europa")
