"""
Tests whose outcome the runner's options decide, unless their class does.
"""

from __future__ import annotations

import asyncio

from django_evergreen.test import AsyncSimpleTestCase, AsyncTestCase
from tests.app.models import Author

kept = []
loops = []


class Leaving(AsyncTestCase):
    async def test_task(self):
        kept.append(asyncio.create_task(asyncio.sleep(3600), name="left over"))

    async def test_clean(self):
        await Author.objects.acreate(name="x")


class LeavingForAWhile(AsyncTestCase):
    async def test_task(self):
        kept.append(asyncio.create_task(asyncio.sleep(0.5), name="for a while"))


class LeavingOfClass(AsyncTestCase):
    @classmethod
    async def asyncSetUpClass(cls):
        kept.append(asyncio.create_task(asyncio.sleep(3600), name="of the class"))

    async def test_nothing(self):
        pass


class Stubborn(AsyncSimpleTestCase):
    async def test_task(self):
        async def ignore():
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass

        kept.append(asyncio.create_task(ignore(), name="stubborn"))
        await asyncio.sleep(0)


class Slow(AsyncSimpleTestCase):
    async def test_slow(self):
        await asyncio.sleep(3600)


class Loops(AsyncSimpleTestCase):
    async def test_1(self):
        loops.append(asyncio.get_running_loop())

    async def test_2(self):
        loops.append(asyncio.get_running_loop())
        self.assertEqual(len(set(loops)), 1)


class Deciding(AsyncSimpleTestCase):
    """
    It says all itself.
    """

    leftovers = "fail"
    drain_timeout = 0.0
    cancel_timeout = 0.1
    loop_scope = "class"
    test_timeout = 0.1
    loop = None

    async def test_1(self):
        type(self).loop = asyncio.get_running_loop()
        self.assertNotIn(self.loop, loops)

    async def test_2(self):
        self.assertIs(asyncio.get_running_loop(), self.loop)

    async def test_task(self):
        kept.append(asyncio.create_task(asyncio.sleep(0.5), name="for a while"))

    async def test_slow(self):
        await asyncio.sleep(3600)

    async def test_slow_but_patient(self):
        await asyncio.sleep(0.2)

    test_slow_but_patient.test_timeout = 20
