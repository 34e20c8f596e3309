"""
A TCP proxy before the PostgreSQL server, which can have any outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import Self

import pytest
from django.db import connection

HOST = "127.0.0.1"


class Proxy:
    """
    Passes connections on to a server until it is told otherwise.

    It runs in a thread of its own. Its methods can be called in any other one,
    and return when they have taken effect.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = host, port
        self.host = HOST
        # Chosen by the system at first, and kept then.
        self.port = 0
        # How many connections were opened, ever.
        self.opened = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._may_end.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def drop_packets(self) -> None:
        """
        Be a black hole: accept connections, pass nothing on, in no direction.

        As TCP sends again what was lost, nothing is lost when packets pass again.
        """
        self._do(self._passing.clear)

    def drop_packets_at(self, statement: bytes) -> asyncio.Future[None]:
        """
        Become a black hole with the first packet to the server that contains the
        statement. Returns what is done then, for the running event loop.
        """
        reached: Future[None] = Future()
        self._do(lambda: self._traps.append((statement, reached)))
        return asyncio.wrap_future(reached)

    def pass_packets(self) -> None:
        self._do(self._passing.set)

    def refuse(self) -> None:
        """
        Refuse new connections, as if no server were running.
        """
        self._call(self._stop_listening)

    def accept(self) -> None:
        self._call(self._listen)

    def cut(self) -> None:
        """
        Reset all connections.
        """
        self._do(self._abort)

    def _do(self, fn) -> None:
        async def do() -> None:
            fn()

        self._call(do)

    def _call(self, fn) -> None:
        asyncio.run_coroutine_threadsafe(fn(), self._loop).result(10)

    # In the thread.

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._may_end, self._passing = asyncio.Event(), asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._traps: list[tuple[bytes, Future[None]]] = []
        await self._listen()
        self._started.set()
        await self._may_end.wait()
        await self._stop_listening()
        self._abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(
            self._accept, HOST, self.port, backlog=1000
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        self._listener.close()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader, writer) -> None:
        self.opened += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader, writer) -> None:
        with self._known(writer), contextlib.suppress(OSError):
            await self._passing.wait()
            upstream = await asyncio.open_connection(*self._upstream)
            with self._known(upstream[1]):
                await asyncio.gather(
                    self._copy(reader, upstream[1], self._traps),
                    self._copy(upstream[0], writer, []),
                )

    @contextlib.contextmanager
    def _known(self, writer):
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.remove(writer)
            writer.transport.abort()

    async def _copy(self, reader, writer, traps) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self._spring(traps, data)
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
            await self._passing.wait()
        writer.close()

    def _spring(self, traps, data: bytes) -> None:
        for trap in traps:
            statement, reached = trap
            if statement in data:
                traps.remove(trap)
                self._passing.clear()
                reached.set_result(None)
                return


@pytest.fixture
def proxy(server):
    """
    A proxy before the server, through which the test's connections go.
    """
    settings = connection.settings_dict
    before = settings["HOST"], settings["PORT"]
    with Proxy(server.host, server.port) as proxy:
        settings["HOST"], settings["PORT"] = proxy.host, proxy.port
        yield proxy
        settings["HOST"], settings["PORT"] = before
    # Those that the server did not see end.
    server.end_sessions(settings["NAME"])
