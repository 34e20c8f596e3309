"""
Several databases: each has its own pool, and its own transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar

import pytest
from django.db import connections, transaction
from django.db.transaction import atomic
from django.test import override_settings

from django_evergreen.bridge import await_, run_sync
from django_evergreen.db import (
    TransactionEnded,
    aon_commit,
    new_connections,
    statistics,
)
from tests.app.models import Author

pytestmark = pytest.mark.usefixtures("both_databases")

BOTH = ("default", "other")


class Failure(Exception):
    """
    Rolls a block back.
    """


async def write(alias, name="A"):
    return await Author.objects.using(alias).acreate(name=name)


async def counts():
    return [await Author.objects.using(alias).acount() for alias in BOTH]


def held():
    return [len(statistics(alias).holders) for alias in BOTH]


async def test_each_database_has_a_pool_of_its_own():
    await asyncio.gather(*(write(alias) for alias in BOTH))
    assert [statistics(alias).size for alias in BOTH] == [1, 1]
    assert connections["default"] is not connections["other"]
    assert await counts() == [1, 1]


async def test_block_holds_the_connection_of_its_own_database_only():
    async with atomic(using="other"):
        await write("other")
        await write("default")
        assert held() == [0, 1]
    assert held() == [0, 0]


# Blocks.


async def test_blocks_on_two_databases_are_committed():
    async with atomic(), atomic(using="other"):
        await write("default")
        await write("other")
        assert held() == [1, 1]
    assert await counts() == [1, 1]


async def test_blocks_on_two_databases_are_rolled_back():
    with pytest.raises(Failure):
        async with atomic(), atomic(using="other"):
            await write("default")
            await write("other")
            raise Failure
    assert await counts() == [0, 0]
    assert held() == [0, 0]


@pytest.mark.parametrize(("outer", "inner"), [BOTH, BOTH[::-1]])
async def test_inner_one_is_rolled_back_and_the_outer_is_not(outer, inner):
    async with atomic(using=outer):
        await write(outer)
        with contextlib.suppress(Failure):
            async with atomic(using=inner):
                await write(outer, "stays")
                await write(inner)
                raise Failure
    assert await Author.objects.using(outer).acount() == 2
    assert await Author.objects.using(inner).acount() == 0


@pytest.mark.parametrize(("outer", "inner"), [BOTH, BOTH[::-1]])
async def test_outer_one_is_rolled_back_and_the_inner_is_not(outer, inner):
    with pytest.raises(Failure):
        async with atomic(using=outer):
            await write(outer)
            async with atomic(using=inner):
                await write(inner)
            raise Failure
    assert await Author.objects.using(outer).acount() == 0
    assert await Author.objects.using(inner).acount() == 1


async def test_one_is_set_to_roll_back():
    def fail():
        transaction.set_rollback(True, using="other")

    async with atomic(), atomic(using="other"):
        await write("default")
        await write("other")
        await run_sync(fail)
    assert await counts() == [1, 0]


async def test_blocks_on_two_databases_in_sync_code():
    def in_bridge():
        with atomic(), atomic(using="other"):
            Author.objects.create(name="A")
            await_(write("other"))
            transaction.set_rollback(True)

    await run_sync(in_bridge)
    assert await counts() == [0, 1]


async def test_decorated_coroutine_functions():
    @atomic(using="other")
    @atomic
    async def fail():
        await write("default")
        await write("other")
        raise Failure

    with pytest.raises(Failure):
        await fail()
    assert await counts() == [0, 0]


async def test_blocks_entered_and_left_crosswise():
    """
    Those of different databases need not nest.
    """
    on_default, on_other = atomic(), atomic(using="other")
    await on_default.__aenter__()
    await on_other.__aenter__()
    await write("default")
    await write("other")
    await on_default.__aexit__(None, None, None)
    assert held() == [0, 1]
    assert await Author.objects.acount() == 1
    await on_other.__aexit__(Failure, Failure(), None)
    assert await counts() == [1, 0]


async def test_cancelled_task_rolls_back_both():
    async def wait():
        async with atomic(), atomic(using="other"):
            await write("default")
            await write("other")
            is_in.set()
            await asyncio.Event().wait()

    is_in = asyncio.Event()
    task = asyncio.create_task(wait())
    await is_in.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert held() == [0, 0]
    assert await counts() == [0, 0]


async def test_durable_block_inside_a_block_on_the_other_database():
    async with atomic():
        async with atomic(using="other", durable=True):
            await write("other")
        assert held() == [1, 0]
        with pytest.raises(RuntimeError, match="durable"):
            async with atomic(durable=True):
                pass
    assert await counts() == [0, 1]


async def test_durable_block_of_a_joined_task():
    async def durable(using):
        async with atomic(using=using, durable=True):
            await write(using)

    async with atomic():
        await asyncio.gather(durable("other"))
        with pytest.raises(RuntimeError, match="durable"):
            await asyncio.gather(durable("default"))
    assert await counts() == [0, 1]


# Tasks.


@pytest.mark.parametrize("fails", [False, True], ids=["commit", "fail"])
async def test_tasks_join_the_transactions_on_both(fails):
    with contextlib.suppress(Failure):
        async with atomic(), atomic(using="other"):
            await asyncio.gather(*(write(alias) for alias in BOTH * 25))
            assert held() == [1, 1]
            assert await counts() == [25, 25]
            if fails:
                raise Failure
    assert await counts() == ([0, 0] if fails else [25, 25])
    assert [statistics(alias).size for alias in BOTH] == [1, 1]


async def test_task_joins_the_block_of_one_and_queries_the_other_by_itself():
    async def query():
        await write("default")
        await write("other")

    with contextlib.suppress(Failure):
        async with atomic():
            await asyncio.gather(query(), query())
            raise Failure
    assert await counts() == [0, 2]


async def test_nested_blocks_of_siblings_on_two_databases_do_not_wait():
    async def nested(alias, mine, other_s):
        async with atomic(using=alias):
            mine.set()
            await other_s.wait()
            await write(alias)

    events = [asyncio.Event(), asyncio.Event()]
    async with asyncio.timeout(10), atomic(), atomic(using="other"):
        await asyncio.gather(
            nested("default", *events), nested("other", *reversed(events))
        )
    assert await counts() == [1, 1]


async def test_task_outlives_the_block_on_one_of_them():
    may_go_on = asyncio.Event()

    async def late():
        await may_go_on.wait()
        await write("other")
        with pytest.raises(TransactionEnded, match="'default'"):
            await write("default")

    async with atomic(using="other"):
        async with atomic():
            task = asyncio.create_task(late())
        may_go_on.set()
        await task
    assert await counts() == [0, 1]


async def test_new_connections_are_outside_the_transactions_on_both():
    with contextlib.suppress(Failure):
        async with atomic(using="other"):
            async with new_connections():
                await write("default")
                await write("other")
                assert held() == [0, 1]
            assert held() == [0, 1]
            raise Failure
    assert await counts() == [1, 1]


# Routers.

chosen = ContextVar("chosen", default="default")


class ByContext:
    """
    Reads and writes where the running code says.
    """

    def db_for_read(self, model, **hints):
        return chosen.get()

    db_for_write = db_for_read


@pytest.fixture
def router():
    with override_settings(DATABASE_ROUTERS=[f"{__name__}.{ByContext.__name__}"]):
        yield


async def test_router_chooses_for_each_task(router):
    async def work(alias):
        chosen.set(alias)
        author = await Author.objects.acreate(name=alias)
        await asyncio.sleep(0)
        assert await Author.objects.aget(pk=author.pk) == author
        await author.arefresh_from_db()
        return author._state.db

    used = await asyncio.gather(*(work(alias) for alias in BOTH * 10))
    assert used == [*BOTH * 10]
    assert await counts() == [10, 10]


async def test_router_chooses_in_blocks_in_sync_code_and_in_threads(router):
    async def work(alias):
        chosen.set(alias)
        await Author.objects.acreate(name=alias)
        await run_sync(Author.objects.create, name=alias)
        await asyncio.to_thread(Author.objects.create, name=alias)

    async with atomic(), atomic(using="other"):
        await asyncio.gather(*(work(alias) for alias in BOTH))
        assert await counts() == [3, 3]
        await run_sync(transaction.set_rollback, True, using="other")
    assert await counts() == [3, 0]


# On commit.


async def test_on_commit_waits_for_its_own_database():
    done = []

    async def coroutine_function():
        done.append((await counts(), "other"))

    async with atomic():
        transaction.on_commit(lambda: done.append("default"))
        async with atomic(using="other"):
            await write("other")
            await write("default")
            transaction.on_commit(coroutine_function, using="other")
            assert done == []
        # Of the default database it sees what this task does, as it's in its block.
        assert done == [([1, 1], "other")]
    assert done == [([1, 1], "other"), "default"]


async def test_on_commit_is_dropped_with_its_own_database():
    done = []
    async with atomic():
        with contextlib.suppress(Failure):
            async with atomic(using="other"):
                transaction.on_commit(lambda: done.append("other"), using="other")
                transaction.on_commit(lambda: done.append("default"))
                raise Failure
    assert done == ["default"]


async def test_on_commit_of_the_one_that_is_in_no_transaction_runs_at_once():
    done = []

    async def coroutine_function():
        done.append("other")

    async with atomic():
        await aon_commit(coroutine_function, using="other")
        assert done == ["other"]
        await aon_commit(coroutine_function)
        assert done == ["other"]
    assert done == ["other"] * 2
