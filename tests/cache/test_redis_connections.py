"""
The connections of ``RedisCache``: bounded, one pool for each loop, never confused.
"""

from __future__ import annotations

import asyncio

import pytest
import redis
from django.core.cache import caches
from django.core.signals import request_finished

from django_evergreen.bridge import run_sync


def commands(cache):
    """
    Return the client of the running loop, for commands that a cache hasn't.
    """
    return cache._cache.get_client(write=True)


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def blocked(server):
    return server.client.info("clients")["blocked_clients"]


async def test_burst_waits_in_line_for_a_few_connections(use_cache, redis_server):
    cache = use_cache(OPTIONS={"max_connections": 5})
    await cache.aset_many({str(n): n for n in range(1000)})
    before = redis_server.client.info("stats")["total_connections_received"]
    found = await asyncio.gather(*(cache.aget(str(n)) for n in range(1000)))
    assert found == list(range(1000))
    after = redis_server.client.info("stats")["total_connections_received"]
    # One was there already.
    assert after - before == 4
    assert len(redis_server.connections()) == 5


async def test_wait_for_a_connection_is_bounded(use_cache, redis_server):
    cache = use_cache(OPTIONS={"max_connections": 1, "timeout": 0.01})
    waiting = asyncio.create_task(run_sync(lambda: commands(cache).blpop("list", 0)))
    await until(lambda: blocked(redis_server))
    with pytest.raises(redis.ConnectionError, match="All 1 connections"):
        await cache.aget("k")
    redis_server.client.rpush("list", "x")
    assert await waiting == (b"list", b"x")
    assert await cache.aget("k", "free") == "free"


@pytest.mark.parametrize("size", [1, 3])
async def test_cancelled_command_leaves_no_answer_to_the_next(
    use_cache, redis_server, size
):
    """
    Cancelled after each number of turns of the loop: while it waits for its place,
    connects, introduces itself, selects the database, sends and reads.
    """
    cache = use_cache(f"{redis_server.url}?db=3", OPTIONS={"max_connections": size})
    await cache.aset_many({str(n): n for n in range(20)})
    outcomes = set()
    for attempt in range(200):
        tasks = [asyncio.create_task(cache.aget(str(n))) for n in range(4)]
        for _ in range(attempt % 25):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for n, result in enumerate(results):
            assert result == n or type(result) is asyncio.CancelledError
            outcomes.add(type(result))
        n = attempt % 20
        assert await cache.aget(str(n)) == n
    assert outcomes == {int, asyncio.CancelledError}
    found = await asyncio.gather(*(cache.aget(str(n)) for n in range(20)))
    assert found == list(range(20))


async def test_cancelled_waits_in_the_server_give_their_connections_back(
    use_cache, redis_server
):
    cache = use_cache(OPTIONS={"max_connections": 50})
    await cache.aset_many({str(n): n for n in range(200)})

    def wait_for(n):
        return commands(cache).blpop(f"list{n}", 0)

    tasks = [asyncio.create_task(run_sync(wait_for, n)) for n in range(200)]
    await until(lambda: blocked(redis_server) == 50)
    for _ in range(10):
        # Into the read: redis-py sends by asyncio.wait_for(), which in Python 3.11
        # loses a cancellation that comes as it ends.
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    # What they would have read.
    for n in range(200):
        redis_server.client.rpush(f"list{n}", "late")
    found = await asyncio.gather(*(cache.aget(str(n)) for n in range(200)))
    assert found == list(range(200))


async def test_cancelled_pipeline_leaves_no_answer_to_the_next(cache):
    for turns in range(30):
        task = asyncio.create_task(cache.aset_many({"a": 1, "b": 2}, 100))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await cache.aset("c", turns)
        assert await cache.aget_many(["c", "no"]) == {"c": turns}


def test_loops_one_after_the_other_have_connections_of_their_own(
    cache, redis_server, run
):
    async def main():
        await asyncio.gather(*(cache.aset(str(n), n) for n in range(5)))
        assert await cache.aget("4") == 4
        return redis_server.connections()

    first, second = run(main()), run(main())
    assert first
    assert second
    assert not first & second
    while redis_server.connections():
        pass


async def test_restart_of_the_server_costs_one_error_at_most(cache, redis_server):
    async def get(_):
        try:
            return await cache.aget("k", "gone")
        except redis.ConnectionError as error:
            return error

    await asyncio.gather(*(get(n) for n in range(5)))
    redis_server.stop()
    assert type(await get(0)) is redis.ConnectionError
    assert type(await get(0)) is redis.ConnectionError
    redis_server.start()
    assert set(await asyncio.gather(*map(get, range(10)))) == {"gone"}

    # Without a command meanwhile.
    redis_server.stop()
    redis_server.start()
    first = await get(0)
    assert first == "gone" or type(first) is redis.ConnectionError
    assert await get(0) == "gone"


async def test_end_of_a_request_keeps_the_connections(cache, redis_server):
    await cache.aget("k")
    before = redis_server.connections()
    # Django's own receiver closes all caches.
    await request_finished.asend(None)
    await run_sync(cache.close)
    await cache.aclose()
    assert await caches["default"].aget("k") is None
    assert redis_server.connections() == before


async def test_reads_go_to_the_replicas(use_cache, redis_server):
    """
    Other databases of one server stand for them: what differs shows who answered.
    """
    primary, *replicas = (f"{redis_server.url}?db={n}" for n in range(3))
    cache = use_cache([primary, *replicas])
    await cache.aset("k", "primary")
    assert await cache.aget("k") is None
    for replica in replicas:
        with redis.Redis.from_url(replica) as client:
            client.set(cache.make_key("k"), 5)
    assert await cache.aget("k") == 5
    assert await use_cache(";".join([primary, *replicas])).aget("k") == 5
