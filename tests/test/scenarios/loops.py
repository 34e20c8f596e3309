"""
Event loops: how long they live, who makes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from asgiref.sync import sync_to_async

from django_evergreen.test import (
    AsyncSimpleTestCase,
    AsyncTestCase,
    AsyncTransactionTestCase,
)
from tests.app.models import Author

loops = {}
# As in a module of a project, which knows nothing about loops.
queue = asyncio.Queue()


class Noting:
    """
    Notes in which loop each test has run, and that its database works there.
    """

    async def note(self):
        self.assertEqual(await Author.objects.acount(), 0)
        await Author.objects.acreate(name="x")
        self.assertEqual(await sync_to_async(Author.objects.count)(), 1)
        name = type(self).__name__
        # Kept, so that no other loop gets its address.
        loops.setdefault(name, []).append(asyncio.get_running_loop())

    test_a = note
    test_b = note


class OfSession1(Noting, AsyncTestCase):
    pass


class OfSession2(Noting, AsyncTransactionTestCase):
    pass


class OfClass1(Noting, AsyncTestCase):
    loop_scope = "class"


class OfClass2(Noting, AsyncTransactionTestCase):
    loop_scope = "class"


class OfTest1(Noting, AsyncTestCase):
    loop_scope = "test"


class OfTest2(Noting, AsyncTransactionTestCase):
    loop_scope = "test"


class OfSession3(Noting, AsyncTestCase):
    pass


class OfFactory(Noting, AsyncTestCase):
    @staticmethod
    def loop_factory():
        loop = asyncio.SelectorEventLoop()
        loop.slow_callback_duration = 12.5
        return loop


with contextlib.suppress(ImportError):
    import uvloop

    class OfUvloop(Noting, AsyncTestCase):
        loop_factory = uvloop.new_event_loop

        async def test_c_forgotten_task(self):
            loops["task"] = asyncio.create_task(asyncio.sleep(3600), name="forgotten")

        async def test_d_clean(self):
            self.assertTrue(loops["task"].cancelled())
            self.assertIsInstance(asyncio.get_running_loop(), uvloop.Loop)
            await self.note()

    class OfUvloopFlush(Noting, AsyncTransactionTestCase):
        loop_factory = uvloop.new_event_loop


class Seen(AsyncSimpleTestCase):
    """
    Compares what was noted. Runs last, as it's no TestCase.
    """

    async def test_session(self):
        found = {id(loop) for n in (1, 2, 3) for loop in loops[f"OfSession{n}"]}
        self.assertEqual(found, {id(asyncio.get_running_loop())})

    async def test_class(self):
        (first, again), (second, _) = loops["OfClass1"], loops["OfClass2"]
        self.assertIs(first, again)
        self.assertIsNot(first, second)
        self.assertIsNot(first, asyncio.get_running_loop())
        self.assertTrue(first.is_closed())

    async def test_test(self):
        found = [*loops["OfTest1"], *loops["OfTest2"]]
        self.assertEqual(len(set(map(id, found))), 4)
        self.assertTrue(all(loop.is_closed() for loop in found))

    async def test_factory(self):
        self.assertEqual(loops["OfFactory"][0].slow_callback_duration, 12.5)
        self.assertTrue(loops["OfFactory"][0].is_closed())

    async def test_debug_mode_is_that_of_python(self):
        loop = asyncio.get_running_loop()
        self.assertEqual(loop.get_debug(), sys.flags.dev_mode)


class ClientOfClass:
    """
    A client and a server which the class makes, used by all of its tests.
    """

    @classmethod
    async def asyncSetUpClass(cls):
        cls.server = await asyncio.start_server(cls.echo, "127.0.0.1", 0)
        address = cls.server.sockets[0].getsockname()
        cls.reader, cls.writer = await asyncio.open_connection(*address)

    @staticmethod
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    @classmethod
    async def asyncTearDownClass(cls):
        cls.writer.close()
        await cls.writer.wait_closed()
        cls.server.close()
        await cls.server.wait_closed()

    async def check(self):
        self.writer.write(b"hello\n")
        self.assertEqual(await self.reader.readline(), b"hello\n")

    test_a = check
    test_b = check

    async def test_c_task_of_a_test_is_still_found(self):
        loops["task"] = asyncio.create_task(asyncio.sleep(3600), name="of the test")

    test_d_clean = check


class ClientInLoopOfSession(ClientOfClass, AsyncSimpleTestCase):
    drain_timeout = 0.05


class ClientInLoopOfClass(ClientOfClass, AsyncSimpleTestCase):
    drain_timeout = 0.05
    loop_scope = "class"


class QueueOfModule(AsyncSimpleTestCase):
    """
    The queue belongs to the loop of the test that waits for it first.
    """

    loop_scope = "test"

    async def test_a(self):
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(queue.get(), 0.01)
        loops["future"] = asyncio.get_running_loop().create_future()
        loops["closed"] = asyncio.get_running_loop()

    async def test_b_queue(self):
        await queue.get()

    async def test_c_future(self):
        await loops["future"]

    async def test_d_closed_loop(self):
        loops["closed"].call_soon(print)

    async def test_e_another_error(self):
        raise RuntimeError("about a different loop")
