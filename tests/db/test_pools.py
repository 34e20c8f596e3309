"""
The pool of a loop: bounded, fair, and whole after every cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from django.db import OperationalError, connection, connections, transaction

from django_evergreen.bridge import await_, run_sync
from django_evergreen.bridge._loops import current_hub
from django_evergreen.db import PoolTimeout, statistics
from django_evergreen.db._pools import pools_of
from tests.app.models import Author


@contextlib.contextmanager
def pool_options(**options):
    settings = connections["default"].settings_dict
    before = settings["OPTIONS"]
    settings["OPTIONS"] = {**before, "pool": options}
    try:
        yield
    finally:
        settings["OPTIONS"] = before


class Holder:
    """
    A task that holds a connection until it's told to end.
    """

    def __init__(self, name="holder"):
        self.holds, self.may_end = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(run_sync(self._hold), name=name)

    def _hold(self):
        with transaction.atomic():
            Author.objects.count()
            self.holds.set()
            await_(self.may_end.wait())

    async def end(self):
        self.may_end.set()
        await self.task


async def hold(name="holder"):
    holder = Holder(name)
    await holder.holds.wait()
    return holder


async def until_waiting(number):
    while statistics().waiting != number:
        await asyncio.sleep(0)


async def test_more_tasks_than_connections_wait_and_are_served(db):
    with pool_options(max_size=2):
        counts = await asyncio.gather(*(Author.objects.acount() for _ in range(50)))
        assert counts == [0] * 50
        assert statistics().size <= 2


async def test_waiting_ends_with_pool_timeout_that_says_who_holds(db):
    with pool_options(max_size=1, timeout=0.01):
        holder = await hold(name="the holder")
        with pytest.raises(PoolTimeout, match="held by: the holder") as caught:
            await Author.objects.acount()
        assert "all 1 are in use" in str(caught.value)
        assert isinstance(caught.value, OperationalError)
        await holder.end()
        assert await Author.objects.acount() == 0
        assert statistics().waiting == 0


async def test_no_more_than_max_waiting_may_wait(db):
    with pool_options(max_size=1, max_waiting=1):
        holder = await hold()
        waiting = asyncio.create_task(Author.objects.acount())
        await until_waiting(1)
        with pytest.raises(PoolTimeout, match="1 already wait"):
            await Author.objects.acount()
        await holder.end()
        assert await waiting == 0


async def test_task_cancelled_while_waiting_loses_no_connection(db):
    with pool_options(max_size=1):
        holder = await hold()
        waiting = asyncio.create_task(Author.objects.acount())
        await until_waiting(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert statistics().waiting == 0
        await holder.end()
        assert await Author.objects.acount() == 0
        assert statistics().idle == statistics().size == 1


async def test_task_cancelled_in_the_tick_of_the_hand_over_passes_it_on(db):
    with pool_options(max_size=1):
        holder = await hold()
        first = asyncio.create_task(Author.objects.acount())
        await until_waiting(1)
        second = asyncio.create_task(Author.objects.acount())
        await until_waiting(2)
        # The connection is handed over in the holder's last step, after which
        # the first is cancelled before it could run.
        holder.task.add_done_callback(lambda task: None)
        await run_until_handed_over(holder)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second == 0
        assert statistics().idle == statistics().size == 1


async def run_until_handed_over(holder):
    holder.may_end.set()
    while statistics().waiting == 2:
        await asyncio.sleep(0)


async def test_task_cancelled_at_every_step_leaves_the_pool_whole(db):
    """
    Cancels after each number of turns of the loop, until a query gets through.
    """
    with pool_options(max_size=1):
        for turns in range(1000):
            task = asyncio.create_task(Author.objects.acreate(name=str(turns)))
            for _ in range(turns):
                await asyncio.sleep(0)
            done = task.done()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            s = statistics()
            assert (s.waiting, s.holders) == (0, ())
            assert s.idle == s.size
            assert await Author.objects.acount() >= 0
            if done:
                break
        else:
            pytest.fail("The query never got through.")


async def test_failure_to_connect_frees_the_place(db):
    with pool_options(max_size=1):
        settings = connections["default"].settings_dict
        before = dict(settings)
        if connection.vendor == "postgresql":
            settings["PORT"] = "1"
        else:
            settings["NAME"] = "nowhere/at/all.sqlite3"
        try:
            for _ in range(3):
                with pytest.raises(OperationalError):
                    await Author.objects.acount()
        finally:
            settings.update(before)
        assert statistics().size == 0
        assert await Author.objects.acount() == 0


async def test_idle_connections_are_closed_in_time(db):
    with pool_options(max_idle=0.01):
        await Author.objects.acount()
        assert statistics().idle == 1
        async with asyncio.timeout(10):
            while statistics().size:
                await asyncio.sleep(0.005)


async def test_old_connections_are_replaced(db):
    with pool_options(max_lifetime=0.0):
        await Author.objects.acount()
        assert statistics().size == 0


def test_pool_closes_with_its_loop(run, db):
    async def main():
        await Author.objects.acount()
        pool = pools_of(current_hub())["default"]
        assert repr(pool) == (
            f"<LoopPool 'default': 1 of {pool.options.max_size} connections (1 idle, "
            "0 in use, 0 being opened), 0 waiting; held by: nobody; 1 opened and 0 "
            "timeouts so far>"
        )
        return pool

    assert run(main()).statistics().size == 0


def test_pool_of_a_loop_closed_without_ceremony_is_closed(loop_factory, run, db):
    async def main():
        await Author.objects.acount()
        return pools_of(current_hub())["default"]

    loop = loop_factory()
    pool = loop.run_until_complete(main())
    loop.close()
    assert pool.statistics().size == 1

    async def next_loop():
        assert await Author.objects.acount() == 0

    run(next_loop())
    assert pool.statistics().size == 0


async def test_pool_closed_in_the_tick_of_the_hand_over_tells_who_waited(
    db, monkeypatch
):
    with pool_options(max_size=1):
        holder = await hold()
        waiting = asyncio.create_task(Author.objects.acount())
        await until_waiting(1)
        pool = pools_of(current_hub()).pop("default")
        give_back = pool.give_back

        def give_back_and_close(pooled):
            give_back(pooled)
            pool.close()

        monkeypatch.setattr(pool, "give_back", give_back_and_close)
        await holder.end()
        with pytest.raises(PoolTimeout, match="was closed"):
            await waiting
        assert await Author.objects.acount() == 0


async def test_statistics_before_the_first_query():
    s = statistics()
    assert (s.size, s.idle, s.waiting, s.holders) == (0, 0, 0, ())
    assert s.max_size > 0
