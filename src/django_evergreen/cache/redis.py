"""
Django's Redis cache, which suspends in the bridge instead of blocking.

There, commands go over redis-py's own asyncio client, on a pool of the running
event loop. Everywhere else (threads, management commands, WSGI) it is Django's
backend with redis-py's sync client, unchanged.
"""

from __future__ import annotations

from typing import Any

from django.core.cache.backends import base
from django.core.cache.backends import redis as django_redis
from django.utils.functional import cached_property

from ..bridge import LoopLocal, in_bridge
from ._same import Same


class RedisCacheClient(django_redis.RedisCacheClient):
    """
    Sends the commands of Django's methods to the client that suits the caller.

    Suspends: in the bridge, with each command; elsewhere it blocks. Runs in: any
    thread. On cancellation: the connection whose answer is not read is closed.
    """

    def __init__(
        self, servers: list[str], serializer: Any = None, **options: Any
    ) -> None:
        # Imported here, as Django does: redis-py may be missing until it's needed.
        from ._options import split
        from ._pool import clients

        sync_options, self._loop_options = split(options)
        super().__init__(servers, serializer, **sync_options)
        # How redis-py introduces Django to the server.
        for name in {"driver_info", "lib_name"} & self._pool_options.keys():
            self._loop_options.setdefault(name, self._pool_options[name])
        # With the options as they were given: what is made of them isn't comparable.
        self._loop_servers = [Same((url,), options) for url in servers]
        self._loop_clients = clients

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        if not in_bridge():
            return super().get_client(key, write=write)
        server = self._loop_servers[self._get_connection_pool_index(write)]
        clients = self._loop_clients()
        return clients.get(server) or self._connect(server, clients)

    def _connect(self, server: Any, clients: dict[Any, Any]) -> Any:
        from redis.asyncio import Redis

        from ._bridged import Bridged
        from ._options import make_pool

        (url,) = server.of
        pool = make_pool(url, **self._loop_options)
        client = clients[server] = Bridged(Redis(connection_pool=pool))
        return client


class RedisCache(django_redis.RedisCache):
    """
    Django's Redis cache, with the same ``LOCATION`` and ``OPTIONS``, for the bridge::

        CACHES = {
            "default": {
                "BACKEND": "django_evergreen.cache.redis.RedisCache",
                "LOCATION": "redis://127.0.0.1:6379",
            }
        }

    In the bridge an event loop has ``OPTIONS["max_connections"]`` connections to a
    server at the most, 50 by default, and waits ``OPTIONS["timeout"]`` seconds for
    one, 20 by default; then ``redis.exceptions.ConnectionError`` is raised.

    Suspends: in the bridge, with each command. Its a-methods run there. Elsewhere
    it blocks. Runs in: any thread. On cancellation: raises ``CancelledError``; the
    server may or may not have done the command.
    """

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = RedisCacheClient

    @cached_property
    def _cache(self) -> RedisCacheClient:
        if not in_bridge():
            return self._make_client()
        # To make one for each request would cost several times a command.
        clients = _clients()
        same = Same((self._class, *self._servers), self._options.copy())
        client = clients.get(same)
        if client is None:
            client = clients[same] = self._make_client()
        return client

    def _make_client(self) -> RedisCacheClient:
        return self._class(self._servers, **self._options)

    # Before 6.1, Django makes these of aget() and aset(), one key after the other:
    # neither atomic nor with the same timeout as their twins. Its sync_to_async() is
    # looked up in its module, where the patches replace it.

    async def ahas_key(self, *args: Any, **kwargs: Any) -> bool:
        return await base.sync_to_async(self.has_key)(*args, **kwargs)  # type: ignore[no-any-return]

    async def aincr(self, *args: Any, **kwargs: Any) -> int:
        return await base.sync_to_async(self.incr)(*args, **kwargs)  # type: ignore[no-any-return]

    async def aget_many(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return await base.sync_to_async(self.get_many)(*args, **kwargs)  # type: ignore[no-any-return]

    async def aset_many(self, *args: Any, **kwargs: Any) -> list[Any]:
        return await base.sync_to_async(self.set_many)(*args, **kwargs)  # type: ignore[no-any-return]

    async def adelete_many(self, *args: Any, **kwargs: Any) -> None:
        await base.sync_to_async(self.delete_many)(*args, **kwargs)


# What the caches of a loop share.
_clients: LoopLocal[dict[Same, RedisCacheClient]] = LoopLocal(dict, close=None)
