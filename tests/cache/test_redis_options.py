"""
``OPTIONS`` and ``LOCATION`` of ``RedisCache``: as of Django's, on both clients.
"""

from __future__ import annotations

import pickle
import threading

import pytest
import redis
import redis.asyncio
from django.core.exceptions import ImproperlyConfigured
from redis import _parsers
from redis.backoff import NoBackoff
from redis.retry import Retry

from django_evergreen.bridge import run_sync
from django_evergreen.cache._pool import LoopPool


class SyncPool(redis.ConnectionPool):
    pass


class AsyncPool(redis.asyncio.ConnectionPool):
    pass


class SyncParser(_parsers._RESP2Parser):
    pass


class AsyncParser(_parsers._AsyncRESP2Parser):
    pass


class Serializer:
    def dumps(self, value):
        return b"!" + pickle.dumps(value)

    def loads(self, data):
        return pickle.loads(data[1:])


@pytest.fixture
def serve(run):
    """
    A function that returns the pools that serve a cache: the sync one, and that of
    the loop.
    """

    def serve(cache):
        cache.set("sync", 1)

        async def main():
            await cache.aset("loop", 2)
            assert await cache.aget("sync") == 1
            client = await run_sync(cache._cache.get_client)
            return client.connection_pool

        pool = run(main())
        assert cache.get("loop") == 2
        return cache._cache.get_client().connection_pool, pool

    return serve


def test_server_is_reached_by_tcp_and_tls(use_cache, redis_server, serve):
    where = f"127.0.0.1:{redis_server.port}"
    assert serve(use_cache(f"redis://{where}/2"))
    assert redis_server.client.info("keyspace")["db2"]["keys"] == 2
    location = f"rediss://127.0.0.1:{redis_server.tls_port}"
    assert serve(
        use_cache(location, OPTIONS={"ssl_ca_certs": redis_server.certificate})
    )


def test_user_password_and_database_are_options(use_cache, redis_server, serve):
    admin = redis_server.client
    admin.acl_setuser(
        "app", enabled=True, passwords=["+secret"], keys="*", categories=["+@all"]
    )
    login = {"username": "app", "password": "secret", "db": 4}
    assert serve(use_cache(OPTIONS=login))
    assert admin.info("keyspace")["db4"]["keys"] == 2
    with pytest.raises(redis.AuthenticationError):
        serve(use_cache(OPTIONS={**login, "password": "wrong"}))
    admin.acl_deluser("app")


def test_serializer_serves_both(use_cache, redis_server, serve):
    cache = use_cache(OPTIONS={"serializer": f"{__name__}.Serializer"})
    serve(cache)
    assert cache._cache._serializer.__class__ is Serializer


@pytest.mark.parametrize(
    ("given", "sync", "loop"),
    [
        (None, redis.ConnectionPool, LoopPool),
        ("redis.ConnectionPool", redis.ConnectionPool, LoopPool),
        ("redis.BlockingConnectionPool", redis.BlockingConnectionPool, LoopPool),
        ("redis.asyncio.ConnectionPool", redis.ConnectionPool, LoopPool),
        (
            "redis.asyncio.BlockingConnectionPool",
            redis.BlockingConnectionPool,
            LoopPool,
        ),
        (f"{__name__}.AsyncPool", redis.ConnectionPool, AsyncPool),
        (AsyncPool, redis.ConnectionPool, AsyncPool),
    ],
)
def test_pool_class_stands_for_both(use_cache, serve, given, sync, loop):
    pools = serve(use_cache(OPTIONS={"pool_class": given, "max_connections": 7}))
    assert tuple(map(type, pools)) == (sync, loop)
    assert {pool.max_connections for pool in pools} == {7}


@pytest.mark.parametrize(
    ("given", "sync", "loop"),
    [
        ("redis._parsers._RESP2Parser", "_RESP2Parser", "_AsyncRESP2Parser"),
        (_parsers._AsyncRESP2Parser, "_RESP2Parser", "_AsyncRESP2Parser"),
        (_parsers._RESP3Parser, "_RESP3Parser", "_AsyncRESP3Parser"),
        (AsyncParser, redis.connection.DefaultParser.__name__, "AsyncParser"),
    ],
)
def test_parser_class_stands_for_both(use_cache, serve, given, sync, loop):
    protocol = 3 if "RESP3" in sync else 2
    options = {"parser_class": given, "protocol": protocol}
    pools = serve(use_cache(OPTIONS=options))
    names = [pool.connection_kwargs["parser_class"].__name__ for pool in pools]
    assert names == [sync, loop]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("pool_class", SyncPool),
        ("pool_class", f"{__name__}.SyncPool"),
        ("parser_class", SyncParser),
        ("connection_class", object()),
    ],
)
def test_class_that_can_not_serve_a_loop_is_refused(use_cache, name, given):
    cache = use_cache(OPTIONS={name: given})
    with pytest.raises(ImproperlyConfigured, match=rf'"{name}".*redis\.asyncio'):
        cache.get("k")


def test_option_that_only_the_sync_client_knows_is_refused(use_cache, run):
    cache = use_cache(OPTIONS={"of_nobody": 1})
    with pytest.raises(ImproperlyConfigured, match="of_nobody"):
        run(cache.aget("k"))


def test_retries_serve_both(use_cache, serve):
    retry = Retry(NoBackoff(), 2)
    _, loop = serve(use_cache(OPTIONS={"retry": retry}))
    (connection,) = loop._available_connections
    assert type(connection.retry) is redis.asyncio.retry.Retry


def test_timeout_is_that_of_the_wait_for_a_connection(use_cache, serve):
    for options in ({}, {"pool_class": "redis.BlockingConnectionPool"}):
        sync, loop = serve(use_cache(OPTIONS={"timeout": 3.0, **options}))
        assert loop.timeout == 3.0
    assert sync.timeout == 3.0


def test_thread_that_a_loop_started_has_the_sync_client(cache, run):
    async def main():
        found = []

        def work():
            cache.set("k", 1)
            found.append(type(cache._cache.get_client()))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(10)
        assert await cache.aget("k") == 1
        return found

    assert run(main()) == [redis.Redis]
