"""
Opening, filling, draining and closing the pools of a loop.
"""

from __future__ import annotations

import asyncio
import logging

import pytest
from django.db import Error, connection, transaction

from django_evergreen.bridge import run_sync
from django_evergreen.bridge._loops import current_hub
from django_evergreen.db import PoolTimeout, close_pools, open_pools, statistics
from django_evergreen.db._pools import pools_of

from ..app.models import Author
from .test_pools import hold, pool_options, until_waiting


async def until_full(size):
    while statistics().idle != size:
        await asyncio.sleep(0)


async def test_pools_are_opened_with_min_size_connections(db):
    with pool_options(min_size=3):
        await open_pools()
        assert (statistics().size, statistics().idle) == (3, 3)
        assert await Author.objects.acount() == 0
        assert statistics().opened == 3


async def test_pool_is_filled_after_its_first_use(db):
    with pool_options(min_size=3):
        await Author.objects.acount()
        await until_full(3)


async def test_lost_connections_are_replaced_up_to_min_size(db):
    with pool_options(min_size=2):
        await open_pools()
        holder = await hold()
        pools_of(current_hub())["default"].clear()
        assert statistics().size == 1
        await holder.end()
        await until_full(2)


async def test_pool_that_can_t_be_filled_tells_it_once(db, caplog, monkeypatch):
    def fail():
        raise Error("no")

    with pool_options(min_size=2):
        pool = await run_sync(lambda: connection.pool_of_loop())
        pool.add_one = fail
        with caplog.at_level(logging.WARNING, "django_evergreen"):
            pool.fill_soon()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert "could not be filled: no" in caplog.text


async def test_closing_waits_for_what_is_in_use(db):
    holder = await hold()
    closing = asyncio.create_task(close_pools())
    while not pools_of(current_hub())["default"]._draining:
        await asyncio.sleep(0)
    # Work that is under way gets what it needs.
    assert await Author.objects.acount() == 0
    assert not closing.done()
    await holder.end()
    assert await closing is True
    assert pools_of(current_hub()) == {}


async def test_closing_gives_up_waiting_and_closes_what_is_in_use(db, caplog):
    with pool_options(max_size=1):
        holder = await hold(name="the holder")
        waiting = asyncio.create_task(Author.objects.acount())
        await until_waiting(1)
        assert await close_pools(timeout=0.01) is False
        with pytest.raises(PoolTimeout, match="closed"):
            await waiting
        with pytest.raises(Error):
            await holder.end()
    assert "held by: the holder" in caplog.text


async def test_query_after_closing_opens_a_new_pool(db):
    await Author.objects.acreate(name="A")
    old = pools_of(current_hub())["default"]
    assert await close_pools()
    assert await Author.objects.acount() == 1
    assert pools_of(current_hub())["default"] is not old
    async with transaction.atomic():
        await Author.objects.acreate(name="B")
    assert await close_pools()
    assert await close_pools()


@pytest.mark.parametrize("again", [False, True])
async def test_closing_twice_at_once_leaves_a_new_pool_alone(db, again):
    holder = await hold()
    patient = asyncio.create_task(close_pools())
    while not pools_of(current_hub())["default"]._draining:
        await asyncio.sleep(0)
    assert await close_pools(timeout=0) is False
    if again:
        assert await run_sync(Author.objects.count) == 0
    new = pools_of(current_hub()).copy()
    await patient
    assert pools_of(current_hub()) == new
    assert len(new) == again
    with pytest.raises(Error):
        await holder.end()


async def test_closing_under_load_is_survived(db):
    """
    Peewee's ``test_close_pool_under_load``.
    """

    async def work():
        for _ in range(10):
            await Author.objects.acount()

    with pool_options(max_size=2):
        tasks = [asyncio.create_task(work()) for _ in range(20)]
        for _ in range(5):
            await Author.objects.acount()
            await close_pools(timeout=0)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        assert outcome is None or isinstance(outcome, Error)
    assert await Author.objects.acount() == 0
    assert statistics().idle == statistics().size


async def test_repr_tells_what_a_bug_report_needs(db):
    with pool_options(max_size=2):
        holder = await hold(name="the holder")
        assert repr(pools_of(current_hub())["default"]) == (
            "<LoopPool 'default': 1 of 2 connections (0 idle, 1 in use, 0 being "
            "opened), 0 waiting; held by: the holder; 1 opened and 0 timeouts so far>"
        )
        await holder.end()
