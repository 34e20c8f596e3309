"""
Loops for a session, a class and a test.
"""

from __future__ import annotations

import asyncio

from django_evergreen.bridge import LoopLocal
from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author


class Client:
    """
    Belongs to the loop on which it was made, as clients do.
    """

    made, closed = 0, 0

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        Client.made += 1

    async def get(self):
        assert asyncio.get_running_loop() is self.loop
        await asyncio.sleep(0)
        return "answer"

    async def aclose(self):
        assert asyncio.get_running_loop() is self.loop
        Client.closed += 1


client = LoopLocal(Client, close=Client.aclose)
loops = []


class Works:
    @classmethod
    async def setUpTestData(cls):
        await Author.objects.acreate(name="of the class")

    async def work(self):
        loops.append(asyncio.get_running_loop())
        self.assertEqual(await client.get(), "answer")
        names = [a.name async for a in Author.objects.order_by("pk")]
        self.assertEqual(names, ["of the class"])
        await asyncio.gather(*(Author.objects.acreate(name="x") for _ in range(3)))
        self.assertEqual(await asyncio.to_thread(Author.objects.count), 4)

    async def test_a(self):
        await self.work()

    async def test_b(self):
        await self.work()

    def test_c_sync(self):
        self.assertEqual(Author.objects.count(), 1)


class Test1Session(Works, AsyncTestCase):
    pass


class Test2Class(Works, AsyncTestCase):
    loop_scope = "class"


class Test3Test(Works, AsyncTestCase):
    loop_scope = "test"


class Test4SessionAgain(Works, AsyncTestCase):
    async def test_z_each_loop_had_a_client(self):
        one, two, three, four = (loops[n : n + 2] for n in (0, 2, 4, 6))
        self.assertIs(one[0], one[1])
        self.assertIs(two[0], two[1])
        self.assertIsNot(three[0], three[1])
        self.assertEqual(one, four)
        self.assertEqual(len({*one, *two, *three}), 4)
        # The session's is still open.
        self.assertEqual((Client.made, Client.closed), (4, 3))


class Test5Flush(AsyncTransactionTestCase):
    loop_scope = "test"

    async def test_a(self):
        self.assertNotIn(asyncio.get_running_loop(), loops)
        loops.append(asyncio.get_running_loop())
        await asyncio.gather(*(Author.objects.acreate(name="x") for _ in range(3)))
        self.assertEqual(await Author.objects.acount(), 3)

    test_b = test_a
