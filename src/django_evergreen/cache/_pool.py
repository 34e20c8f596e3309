"""
The connections of one event loop to one Redis server.

Guarantees: never more than ``max_connections`` of them, whatever the number of
tasks; who comes later waits in line, for ``timeout`` seconds at most; a task
that is cancelled leaves no place taken.

redis-py's own ``BlockingConnectionPool`` waits to give a connection back, and
loses it when it's cancelled there.
"""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio
import redis.exceptions

from ..bridge import LoopLocal
from ._bridged import Bridged
from ._same import Same

# Both are those of redis-py's BlockingConnectionPool. So many commands can be under
# way at once: one server does tens of thousands a second, and one after the other.
MAX_CONNECTIONS = 50
# Seconds.
TIMEOUT = 20.0


class LoopPool(redis.asyncio.ConnectionPool):
    """
    A pool with a limit, at which it waits.
    """

    def __init__(
        self,
        *,
        max_connections: int | None = None,
        timeout: float | None = TIMEOUT,
        **options: Any,
    ) -> None:
        limit = max_connections or MAX_CONNECTIONS
        super().__init__(max_connections=limit, **options)
        self.timeout = timeout
        self._places = asyncio.Semaphore(limit)
        # The connections that take a place: those that were handed out.
        self._placed: set[Any] = set()

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        await self._take_place()
        try:
            connection = await super().get_connection(  # type: ignore[no-untyped-call]
                *args, **options
            )
        except BaseException:
            self._places.release()
            raise
        self._placed.add(connection)
        return connection

    async def release(self, connection: Any) -> None:
        try:
            await super().release(connection)
        finally:
            # Not so if get_connection() itself gives up the connection.
            if connection in self._placed:
                self._placed.remove(connection)
                self._places.release()

    async def ensure_connection(self, connection: Any) -> None:
        # Before redis-py 8 it takes a connection that the server has closed for a good
        # one, and each of them would cost an error.
        reader = connection._reader
        if reader is not None and (reader.at_eof() or reader.exception()):
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)

    async def _take_place(self) -> None:
        if not self._places.locked():
            # At once; a deadline would cost more than the place.
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(self.timeout):
                await self._places.acquire()
        except TimeoutError:
            msg = (
                f"All {self.max_connections} connections of this event loop to Redis "
                f"were in use for {self.timeout:g} s. Find out what is slow, or raise "
                'OPTIONS["max_connections"] of the cache.'
            )
            raise redis.exceptions.ConnectionError(msg) from None


async def _close(clients: dict[Same, Bridged]) -> None:
    pools = [client.connection_pool for client in clients.values()]
    closing = (pool.disconnect() for pool in pools)
    errors = await asyncio.gather(*closing, return_exceptions=True)
    for error in filter(None, errors):
        raise error


# The clients of each loop: one for each server and way to speak to it.
clients: LoopLocal[dict[Same, Bridged]] = LoopLocal(dict, close=_close)
