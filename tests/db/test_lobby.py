"""
Queries that wait to begin, while a pool is crowded.
"""

from __future__ import annotations

import asyncio

import pytest
from django.db import transaction

from django_evergreen.bridge import run_sync
from django_evergreen.bridge._loops import current_hub
from django_evergreen.db import PoolTimeout, statistics
from django_evergreen.db._pools import crowded, pools_of
from tests.app.models import Author

from .test_pools import hold, pool_options, until_waiting


def lobby():
    return pools_of(current_hub())["default"]._lobby


def is_forgotten():
    """
    Return whether nothing is left of the crowd.
    """
    return not (lobby() or crowded or statistics().waiting)


async def crowd(number):
    """
    Have the one connection held, and queries wait; return who holds it, and them.
    """
    holder = await hold()
    tasks = [asyncio.create_task(Author.objects.acount()) for _ in range(number)]
    await until_waiting(number)
    return holder, tasks


async def test_no_more_queries_begin_than_the_pool_has_connections(db):
    with pool_options(max_size=1):
        holder, tasks = await crowd(10)
        assert len(lobby()) == 9
        # Those that have begun: this holder's, and one more.
        assert len(current_hub().suspended) == 2
        await holder.end()
        assert await asyncio.gather(*tasks) == [0] * 10
        assert is_forgotten()


async def test_queries_begin_in_the_order_of_coming(db):
    with pool_options(max_size=1):
        holder, tasks = await crowd(10)
        ended = []
        for number, task in enumerate(tasks):
            task.add_done_callback(lambda task, number=number: ended.append(number))
        await holder.end()
        await asyncio.gather(*tasks)
        assert ended == list(range(10))


async def test_query_that_comes_later_does_not_overtake(db):
    with pool_options(max_size=1):
        holder, tasks = await crowd(3)
        late = asyncio.create_task(Author.objects.acount())
        await until_waiting(4)
        late.add_done_callback(lambda _: tasks.append("late"))
        await holder.end()
        await asyncio.gather(*tasks, late)
        assert tasks[-1] == "late"
        assert all(task.done() for task in tasks[:-1])


async def test_waiting_to_begin_ends_with_pool_timeout(db):
    with pool_options(max_size=1, timeout=0.01):
        holder, tasks = await crowd(5)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {PoolTimeout}
        assert statistics().timeouts == 5
        assert is_forgotten()
        await holder.end()
        assert await Author.objects.acount() == 0


@pytest.mark.parametrize("number", range(5))
async def test_others_begin_when_one_is_cancelled(db, number):
    with pool_options(max_size=1):
        holder, tasks = await crowd(5)
        tasks[number].cancel()
        await holder.end()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(number), asyncio.CancelledError)
        assert results == [0] * 4
        assert is_forgotten()


async def test_all_are_cancelled_at_once(db):
    with pool_options(max_size=1):
        holder, tasks = await crowd(100)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert is_forgotten()
        await holder.end()
        assert await Author.objects.acount() == 0


async def test_turn_of_a_cancelled_query_is_the_next_one_s(db):
    with pool_options(max_size=1):
        holder, tasks = await crowd(3)
        waiters = list(lobby())
        # When it's admitted, and before it goes on.
        waiters[0].add_done_callback(lambda _: tasks[1].cancel())
        await holder.end()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[0] == results[2] == 0
        assert is_forgotten()


async def test_queries_that_need_no_connection_keep_nobody_waiting(db):
    with pool_options(max_size=1):
        holder = await hold()
        known = Author.objects.all()
        await run_sync(setattr, known, "_result_cache", [])
        first = asyncio.create_task(Author.objects.acount())
        await until_waiting(1)
        tasks = [asyncio.create_task(collect(known)) for _ in range(3)]
        last = asyncio.create_task(Author.objects.acount())
        await until_waiting(5)
        await holder.end()
        assert await asyncio.gather(first, last) == [0, 0]
        assert await asyncio.gather(*tasks) == [[], [], []]
        assert is_forgotten()


async def collect(queryset):
    return [each async for each in queryset]


async def test_query_that_fails_lets_the_next_one_begin(db):
    with pool_options(max_size=1):
        holder = await hold()
        tasks = [
            asyncio.create_task(Author.objects.aget(pk=number)) for number in range(5)
        ]
        await until_waiting(5)
        await holder.end()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {Author.DoesNotExist}
        assert is_forgotten()


@pytest.mark.only("postgresql")
async def test_task_in_a_transaction_does_not_wait_to_begin(db):
    with pool_options(max_size=2):
        other = await hold()
        entered, may_go_on = asyncio.Event(), asyncio.Event()

        async def transact():
            async with transaction.atomic():
                await Author.objects.acreate(name="Author")
                entered.set()
                await may_go_on.wait()
                return await Author.objects.acount()

        task = asyncio.create_task(transact())
        await entered.wait()
        tasks = [asyncio.create_task(Author.objects.acount()) for _ in range(5)]
        await until_waiting(5)
        may_go_on.set()
        assert await task == 1
        await other.end()
        assert await asyncio.gather(*tasks) == [1] * 5
        await Author.objects.all().adelete()


async def test_writing_query_does_not_wait_to_begin(db):
    with pool_options(max_size=1):
        holder, tasks = await crowd(3)
        writing = asyncio.create_task(Author.objects.acreate(name="Author"))
        await until_waiting(4)
        assert len(lobby()) == 2
        await holder.end()
        await asyncio.gather(*tasks, writing)
        await Author.objects.all().adelete()
