"""
Threads that are no daemons, and never end: Python would wait for them at exit.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from django.test import TestCase

from django_evergreen.test import AsyncSimpleTestCase
from tests.app.models import Author

never = threading.Event()
executor = ThreadPoolExecutor(1, "of the project")


class OwnThread(AsyncSimpleTestCase):
    drain_timeout = 0.1

    async def test_thread(self):
        threading.Thread(target=never.wait, name="endless").start()


class OfSyncTest(TestCase):
    def test_thread(self):
        executor.submit(never.wait)


class Clean(TestCase):
    async def test_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)
