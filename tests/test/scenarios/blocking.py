"""
Tests that block the event loop.
"""

from __future__ import annotations

import asyncio
import threading

from django_evergreen.test import AsyncTestCase
from tests.app.models import Author

never = threading.Event()


class Blocking(AsyncTestCase):
    test_timeout = 0.1
    cancel_timeout = 0.1

    async def test_a_body(self):
        await Author.objects.acreate(name="a")
        never.wait(600)

    async def test_b_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)

    async def test_c_task(self):
        async def block():
            never.wait(600)

        self.task = asyncio.create_task(block(), name="blocking")
        await asyncio.sleep(3600)

    test_d_clean = test_b_clean

    def test_e_sync_body(self):
        Author.objects.create(name="e")
        never.wait(600)

    test_f_clean = test_b_clean
