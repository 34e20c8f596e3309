"""
``RedisCache``: what Django's own gives, in the bridge and without a thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import inspect

import pytest
import redis
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache as DjangoRedisCache

from django_evergreen.bridge import run_sync
from django_evergreen.cache.redis import RedisCache
from tests.threads import NewThreads

SOON, LATE = 100, 1000

# For each method, the arguments of its calls, one call after the other. Before the
# first, the cache is as fill() leaves it.
CALLS = {
    "add": [
        ("k", "new"),
        ("a", 1),
        ("b", 1, None),
        ("c", 1, 0),
        ("d", 1, -1),
        ("k", 2, SOON, 2),
    ],
    "clear": [()],
    "close": [()],
    "decr": [("n",), ("n", 40), ("no",), ("n", 1, 2)],
    "decr_version": [("v",), ("no",), ("w", 1, 5)],
    "delete": [("k",), ("k",), ("n", 2)],
    "delete_many": [(["k", "n", "no"],), ([],), (["v"], 2)],
    "get": [("k",), ("n",), ("no",), ("no", "default"), ("k", None, 2), ("none", 1)],
    "get_many": [(["k", "n", "no"],), ([],), (["k", "v"], 2)],
    "get_or_set": [("k", 1), ("a", 2), ("b", list, SOON), ("c", 3, None, 2)],
    "has_key": [("k",), ("no",), ("k", 2), ("none",)],
    "incr": [("n",), ("n", -3), ("no",), ("n", 1, 2), ("k",)],
    "incr_version": [("k",), ("no",), ("n", 3, 1)],
    "set": [
        ("k", 1),
        ("a", [2]),
        ("b", 3, None),
        ("k", 4, 0),
        ("n", 5, -1),
        ("c", 6, SOON, 3),
    ],
    "set_many": [
        ({"k": 1, "a": "x"},),
        ({},),
        ({"b": 2, "c": 3}, None),
        ({"n": 1}, 0),
        ({"d": 1}, SOON, 2),
    ],
    "touch": [("k", SOON), ("no",), ("n", None), ("v", 0, 2), ("none",)],
}


def fill(cache):
    cache.set_many({"k": {"key": "value"}, "n": 7, "none": None}, LATE)
    cache.set("v", "second", LATE, version=2)


def contents(server):
    """
    Return the values of the server's keys, with the seconds that they have left.
    """
    return {
        key: (server.client.getrange(key, 0, 3), round(server.client.ttl(key), -1))
        for key in server.client.keys()
    }


def outcome(call):
    try:
        return call()
    except (ValueError, redis.ResponseError) as error:
        return type(error), str(error)


async def awaited_outcome(call):
    try:
        return await call()
    except (ValueError, redis.ResponseError) as error:
        return type(error), str(error)


def expected(server, name):
    """
    Return what Django's own cache gives, and leaves.
    """
    stock = DjangoRedisCache(server.url, {})
    fill(stock)
    method = getattr(stock, name)
    results = [outcome(lambda a=a: method(*a)) for a in CALLS[name]]
    return results, contents(server)


@pytest.fixture
def readable(monkeypatch):
    """
    Values that can be read as text, as the server's contents are.
    """
    import json

    class Serializer:
        dumps, loads = staticmethod(json.dumps), staticmethod(json.loads)

    monkeypatch.setattr("django.core.cache.backends.redis.RedisSerializer", Serializer)


def test_every_a_method_is_tested():
    twins = {
        name.removeprefix("a")
        for name, method in inspect.getmembers(RedisCache, inspect.iscoroutinefunction)
    }
    assert twins == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_method_gives_what_its_twin_gives(name, cache, redis_server, run, readable):
    wanted = expected(redis_server, name)
    redis_server.client.flushall()
    fill(cache)

    async def main():
        twin = getattr(cache, f"a{name}")
        return [await awaited_outcome(lambda a=a: twin(*a)) for a in CALLS[name]]

    results = run(main())
    assert (results, contents(redis_server)) == wanted


@pytest.mark.parametrize("name", CALLS)
def test_method_gives_in_the_bridge_what_it_gives_outside(
    name, cache, redis_server, run, readable
):
    wanted = expected(redis_server, name)
    redis_server.client.flushall()

    def main():
        fill(cache)
        method = getattr(cache, name)
        return [outcome(lambda a=a: method(*a)) for a in CALLS[name]]

    results = run(run_sync(main))
    assert (results, contents(redis_server)) == wanted


@pytest.mark.parametrize(
    "value",
    [
        0,
        -(2**62),
        True,
        None,
        "",
        "12",
        b"\x00\r\n",
        1.5,
        {"nested": [datetime.date(2020, 1, 1)]},
        "x" * 1_000_000,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_value_comes_back_from_either_side(value, cache, run):
    async def put():
        await cache.aset("there", value)
        return await cache.aget("back")

    cache.set("back", value)
    back = run(put())
    there = cache.get("there")
    assert (back, type(back)) == (there, type(there)) == (value, type(value))


async def test_prefix_and_version_are_those_of_the_settings(use_cache, redis_server):
    cache = use_cache(KEY_PREFIX="shop", VERSION=3, TIMEOUT=SOON)
    await cache.aset("k", 1)
    assert redis_server.client.keys() == ["shop:3:k"]
    assert SOON - 5 < redis_server.client.ttl("shop:3:k") <= SOON


async def test_commands_at_once_use_no_thread(cache):
    await cache.aset_many({str(n): n for n in range(500)})
    threads = NewThreads()

    async def get(n):
        assert await cache.aget(str(n)) == n
        threads.look()

    await asyncio.gather(*(get(n) for n in range(500)))
    assert not threads.look()


async def test_caches_of_several_requests_share_connections(cache, redis_server):
    """
    Django makes a new cache for each request, which the end of the request closes.
    """

    async def request():
        await caches["default"].aget("k")
        caches.close_all()
        return caches["default"]

    made = set()
    for _ in range(3):
        context = contextvars.Context()
        made.add(await asyncio.create_task(request(), context=context))
    assert len(made) == 3
    assert len(redis_server.connections()) == 1


def test_outside_the_bridge_it_is_the_sync_client(cache, run):
    async def bare():
        return cache._cache.get_client()

    assert type(cache._cache.get_client()) is redis.Redis
    assert type(run(bare())) is redis.Redis


def test_other_commands_suspend_too(cache, run):
    """
    Whoever calls get_client() has pipelines, iterators and locks.
    """

    def commands():
        client = cache._cache.get_client(write=True)
        with client.pipeline() as pipeline:
            assert pipeline.set("a", 1).incr("a") is pipeline
            assert len(pipeline) == 2
            assert pipeline.execute() == [True, 2]
        assert list(client.scan_iter()) == [b"a"]
        with client.lock("lock", timeout=5) as lock:
            assert lock.owned()
            assert client.exists("lock")
        assert not client.exists("lock")
        return client.register_script("return ARGV[1]")(args=["x"])

    assert run(run_sync(commands)) == b"x"
    with pytest.raises(RuntimeError):
        # It belongs to the loop.
        run(run_sync(cache._cache.get_client)).get("a")
