"""
What the chaos run has found, reduced; see `make chaos`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import Error, OperationalError, connection, connections, transaction

from django_evergreen.bridge import await_
from django_evergreen.db import (
    TransactionEnded,
    close_pools,
    hold_connection,
    open_pools,
    statistics,
)
from tests.app.models import Author

from .test_holding import STATE, execute, run_sync
from .test_pools import pool_options


async def turns(number):
    for _ in range(number):
        await asyncio.sleep(0)


async def test_block_that_was_cut_short_is_not_forgotten_by_its_task(db):
    """
    Else its next statement would be sent outside any transaction.
    """
    inside, may_go_on = asyncio.Event(), asyncio.Event()

    async def child():
        async with transaction.atomic():
            await Author.objects.acreate(name="1")
            inside.set()
            await may_go_on.wait()
            with pytest.raises(TransactionEnded):
                await Author.objects.acreate(name="2")
            with pytest.raises(TransactionEnded):
                await Author.objects.acreate(name="3")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with transaction.atomic():
            task = asyncio.create_task(child())
            await inside.wait()
            raise ZeroDivisionError
    may_go_on.set()
    with pytest.raises(ZeroDivisionError):
        await task
    assert await Author.objects.acount() == 0


async def test_block_is_cut_short_at_every_step(db):
    """
    A child that is just ending its block must not end the one around it.
    """

    async def child():
        async with transaction.atomic():
            await Author.objects.acreate(name="child")

    for number in range(60):
        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic():
                await Author.objects.acreate(name="parent")
                task = asyncio.create_task(child())
                await turns(number)
                raise ZeroDivisionError
        with contextlib.suppress(TransactionEnded):
            await task
        assert await Author.objects.acount() == 0


async def test_wrapper_of_a_borrowed_connection_knows_how_to_begin(db):
    async def work():
        async with transaction.atomic():
            return await Author.objects.acount()

    # One of them opens the connection, the others borrow it.
    assert await asyncio.gather(work(), work(), work()) == [0, 0, 0]


@pytest.mark.only("sqlite")
async def test_opening_cancelled_at_every_step_leaves_no_thread(db):
    for number in range(60):
        await close_pools()
        task = asyncio.create_task(Author.objects.acount())
        await turns(number)
        task.cancel()
        await asyncio.wait([task])
    await close_pools()
    for thread in threading.enumerate():
        if "SQLite" in thread.name:
            # The last one may still be closing its file.
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()


async def test_task_cancelled_at_every_step_as_it_begins(db):
    """
    BEGIN may have been executed when its task learns of the cancellation.
    """

    async def write():
        async with transaction.atomic():
            await Author.objects.acreate(name="never")
            raise ZeroDivisionError

    for number in range(40):
        with contextlib.suppress(TimeoutError, ZeroDivisionError):
            async with asyncio.timeout(None) as timeout:
                task = asyncio.current_task()
                asyncio.get_running_loop().call_soon(cancel_after, number, timeout)
                await write()
        assert task.cancelling() == 0
        await Author.objects.acreate(name="kept")
    assert await Author.objects.filter(name="never").acount() == 0
    assert await asyncio.create_task(Author.objects.acount()) == 40


def cancel_after(number, timeout):
    if number:
        asyncio.get_running_loop().call_soon(cancel_after, number - 1, timeout)
    elif not timeout.expired():
        with contextlib.suppress(RuntimeError):
            timeout.reschedule(0)


@pytest.mark.parametrize("error", [None, ZeroDivisionError()])
async def test_block_inside_ends_while_the_one_around_it_is_rolled_back(
    db, monkeypatch, error
):
    """
    Django's code for the end of the outermost block must not run in the inner one,
    where it would commit.
    """
    is_ending, may_end = asyncio.Event(), asyncio.Event()
    cls = type(connections["default"])
    roll_back = cls._rollback

    def hold_up(execute, sql, *args):
        result = execute(sql, *args)
        if sql.startswith(("RELEASE", "ROLLBACK TO")):
            is_ending.set()
            await_(may_end.wait())
        return result

    def roll_back_later(self):
        may_end.set()
        await_(asyncio.wait([task]))
        roll_back(self)

    async def child():
        async with transaction.atomic():
            await Author.objects.acreate(name="child")
            if error is not None:
                raise error

    monkeypatch.setattr(cls, "_rollback", roll_back_later)
    with pytest.raises(LookupError), connection.execute_wrapper(hold_up):
        async with transaction.atomic():
            await Author.objects.acreate(name="parent")
            task = asyncio.create_task(child())
            await is_ending.wait()
            raise LookupError
    with contextlib.suppress(ZeroDivisionError, TransactionEnded):
        await task
    assert await Author.objects.acount() == 0
    assert statistics().idle == statistics().size == 1


async def test_block_is_entered_while_the_one_around_it_is_rolled_back(db):
    """
    Its savepoint, which is gone, must not be taken for that of a block that goes on.
    """
    is_entering, may_enter = asyncio.Event(), asyncio.Event()

    def hold_up(execute, sql, *args):
        result = execute(sql, *args)
        if sql.startswith("SAVEPOINT") and asyncio.current_task() is not parent:
            is_entering.set()
            await_(may_enter.wait())
        return result

    async def child():
        async with transaction.atomic():
            raise AssertionError("The block was entered.")

    parent = asyncio.current_task()
    with connection.execute_wrapper(hold_up):
        async with transaction.atomic():
            with contextlib.suppress(ZeroDivisionError):
                async with transaction.atomic():
                    await Author.objects.acreate(name="rolled back")
                    task = asyncio.create_task(child())
                    await is_entering.wait()
                    raise ZeroDivisionError
            may_enter.set()
            with pytest.raises(TransactionEnded):
                await task
            await Author.objects.acreate(name="kept")
    assert [author.name async for author in Author.objects.all()] == ["kept"]


async def test_cancelled_child_takes_nothing_of_its_siblings_along(db):
    """
    Interrupting SQLite must hit no other statement than the child's.
    """
    for _ in range(100):
        with pytest.raises(ExceptionGroup):
            async with transaction.atomic(), asyncio.TaskGroup() as group:
                for number in range(3):
                    group.create_task(Author.objects.acreate(name=str(number)))
                await turns(2)
                raise ZeroDivisionError
        assert await Author.objects.acount() == 0


async def test_second_cancellation_at_every_step_is_a_cancellation(db):
    async def work():
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            started.set()
            await asyncio.Event().wait()

    for number in range(40):
        started = asyncio.Event()
        task = asyncio.create_task(work())
        await started.wait()
        task.cancel()
        await turns(number)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_thread_writes_nothing_while_its_block_is_rolled_back(db):
    for _ in range(20):
        writing, stop = threading.Event(), threading.Event()

        def write(writing=writing, stop=stop):
            while not stop.is_set():
                Author.objects.update(name="B")
                writing.set()

        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic():
                await Author.objects.acreate(name="A")
                write_in_thread = sync_to_async(write, thread_sensitive=False)
                thread = asyncio.create_task(write_in_thread())
                await asyncio.to_thread(writing.wait, 10)
                raise ZeroDivisionError
        with pytest.raises(TransactionEnded):
            await thread
        stop.set()
    assert await Author.objects.acount() == 0


async def test_blocks_of_siblings_end_after_the_outermost_was_given_up(db):
    async def child():
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            await asyncio.sleep(0.001)
            await Author.objects.acreate(name="B")

    async def parent():
        async with transaction.atomic():
            await Author.objects.acreate(name="C")
            children.extend(asyncio.create_task(child()) for _ in range(3))
            await asyncio.gather(*children)
            await asyncio.Event().wait()

    for number in range(60):
        children: list[asyncio.Task[None]] = []
        task = asyncio.create_task(parent())
        await turns(2 * number)
        task.cancel()
        await turns(1)
        task.cancel()
        await asyncio.wait([task, *children])
        assert task.cancelled()
        for ended in children:
            error = None if ended.cancelled() else ended.exception()
            assert isinstance(error, None | TransactionEnded | OperationalError)
        assert await Author.objects.acount() == 0


@pytest.mark.parametrize("how", ["close the pool", "give up a block"])
async def test_session_that_is_held_is_never_replaced(db, how):
    change, look, value = STATE[connections["default"].vendor]

    async def give_up():
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            connections["default"].drop_transaction()

    with pytest.raises(Error):
        async with hold_connection():
            await run_sync(execute, change)
            if how == "close the pool":
                await close_pools(timeout=0)
            else:
                await give_up()
            assert await run_sync(execute, look) == value
    assert statistics().holders == ()


@pytest.mark.only("postgresql")
async def test_open_pools_raises_django_s_errors(db, monkeypatch):
    settings = connections["default"].settings_dict
    monkeypatch.setitem(settings, "PORT", "1")
    options = {**settings["OPTIONS"], "pool": {"min_size": 1}}
    monkeypatch.setitem(settings, "OPTIONS", options)
    with pytest.raises(OperationalError):
        await open_pools()


async def test_hooks_run_if_the_connection_is_lost_after_the_commit(db, monkeypatch):
    called = []

    def lose_after_commit():
        type(wrapper)._commit(wrapper)
        wrapper.connection.close()

    async with transaction.atomic():
        wrapper = connections["default"]
        monkeypatch.setattr(wrapper, "_commit", lose_after_commit, raising=False)
        await Author.objects.acreate(name="1")
        transaction.on_commit(lambda: called.append(1))
    assert called == [1]
    assert await Author.objects.acount() == 1


async def test_hooks_do_not_run_if_the_connection_is_lost_before_the_commit(db):
    called = []
    with pytest.raises(Error):
        async with transaction.atomic():
            await Author.objects.acreate(name="1")
            transaction.on_commit(lambda: called.append(1))
            await run_sync(connections["default"].connection.close)
    assert called == []
    assert await Author.objects.acount() == 0


@pytest.mark.only("postgresql")
async def test_block_after_a_statement_that_lost_its_connection(db, server):
    """
    Although the task has waited for nothing in between.
    """

    def work():
        with pytest.raises(OperationalError):
            execute("SELECT pg_terminate_backend(pg_backend_pid())")
        with transaction.atomic():
            return Author.objects.count()

    assert await run_sync(work) == 0


async def leave_open(child, is_ready):
    """
    Start a child in a transaction, and end without ending that, when it's ready.
    """
    await transaction.atomic().__aenter__()
    task = asyncio.create_task(child())
    while not is_ready():
        await asyncio.sleep(0)
    return task, connections["default"]


async def test_wrapper_that_a_child_may_still_use_is_nobody_else_s(db):
    has_joined, may_end = asyncio.Event(), asyncio.Event()

    async def child():
        await Author.objects.acount()
        has_joined.set()
        await may_end.wait()

    async def other():
        await Author.objects.acount()
        return connections["default"]

    leaving = leave_open(child, has_joined.is_set)
    task, wrapper = await asyncio.create_task(leaving)
    assert await asyncio.create_task(other()) is not wrapper
    may_end.set()
    await task


@pytest.mark.only("postgresql")
async def test_statement_is_not_broken_off_for_a_child_of_an_earlier_task(
    db, monkeypatch
):
    """
    The child waits, to end its block, until the connection of its parent is quiet.
    """
    monkeypatch.setattr("django_evergreen.db._atomic.FINISH_TIMEOUT", 0.1)
    held, may_go, locks = asyncio.Event(), asyncio.Event(), []

    async def child():
        async with transaction.atomic():
            locks.append(connection.connection.lock)
            holder = asyncio.create_task(run_sync(hold, *locks))
            await held.wait()
            raise ZeroDivisionError
        await holder

    def hold(lock):
        with lock:
            held.set()
            await_(may_go.wait())

    leaving = leave_open(child, lambda: "1 waiting" in repr(locks))
    task, _ = await asyncio.create_task(leaving)
    # Longer than the child has patience for the statements of others.
    innocent = asyncio.create_task(run_sync(execute, "SELECT 7, pg_sleep(0.3)"))
    assert await innocent == 7
    may_go.set()
    with pytest.raises(ZeroDivisionError):
        await task


# Who holds a session closes its connection, and only leaves a place.
@pytest.mark.parametrize("block", [transaction.atomic, hold_connection])
async def test_connection_that_comes_after_the_end_of_its_task_is_not_lost(db, block):
    """
    It was for a child, in a transaction that had lost its own one.
    """
    is_lost, is_taken, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def taker():
        await is_lost.wait()
        async with block():
            await Author.objects.acount()
            is_taken.set()
            await may_end.wait()

    async def child():
        connections["default"].drop_lease()
        is_lost.set()
        await is_taken.wait()
        with pytest.raises(TransactionEnded):
            await Author.objects.acount()

    with pool_options(max_size=1):
        taking = asyncio.create_task(taker())
        leaving = leave_open(child, lambda: statistics().waiting)
        task, _ = await asyncio.create_task(leaving)
        may_end.set()
        await taking
        await task
        assert not statistics().holders
        assert await Author.objects.acount() == 0
