"""
Transactions in async code: blocks, and the tasks and threads that join them.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.views import View

from django_evergreen.bridge import NotInBridge, await_, offload, run_sync
from django_evergreen.db import (
    PoolTimeout,
    TransactionDeadlock,
    TransactionEnded,
    TransactionNotOwned,
    TransactionRolledBack,
    new_connections,
    statistics,
)

from ..app.models import Author, Tag


async def names():
    return sorted([author.name async for author in Author.objects.all()])


def is_whole():
    pool = statistics()
    return pool.waiting == 0 and pool.idle == pool.size


# Blocks.


async def test_block_commits(db):
    async with transaction.atomic():
        await Author.objects.acreate(name="A")
    assert await names() == ["A"]
    assert is_whole()


async def test_block_rolls_back(db):
    with pytest.raises(ZeroDivisionError):
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            raise ZeroDivisionError
    assert await names() == []
    assert is_whole()


async def test_only_the_inner_block_is_rolled_back(db):
    async with transaction.atomic():
        await Author.objects.acreate(name="outer")
        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic():
                await Author.objects.acreate(name="inner")
                raise ZeroDivisionError
        await Author.objects.acreate(name="after")
    assert await names() == ["after", "outer"]


async def test_sync_blocks_nest_in_async_ones_and_the_other_way_round(db):
    def in_sync():
        with transaction.atomic():
            Author.objects.create(name="sync")
            await_(in_async())

    async def in_async():
        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic():
                await Author.objects.acreate(name="async")
                raise ZeroDivisionError

    async with transaction.atomic():
        await run_sync(in_sync)
    assert await names() == ["sync"]


async def test_coroutine_function_is_decorated(db):
    @transaction.atomic
    async def succeed(name):
        """Its docstring."""
        await Author.objects.acreate(name=name)
        return connection.in_atomic_block

    @transaction.atomic(durable=True)
    async def fail():
        await Author.objects.acreate(name="B")
        raise ZeroDivisionError

    assert succeed.__doc__ == "Its docstring."
    assert await asyncio.gather(succeed("A")) == [True]
    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await names() == ["A"]


async def write_a():
    await Author.objects.acreate(name="A")


async def yield_a():
    await write_a()
    yield


@method_decorator(transaction.atomic, name="dispatch")
class Page(View):
    async def get(self, request):
        await write_a()


@pytest.mark.parametrize(
    ("fn", "named"),
    [
        (transaction.atomic(lambda: write_a()), "lambda"),
        (transaction.atomic(lambda: yield_a()), "lambda"),
        (transaction.atomic(yield_a), "yield_a"),
        (lambda: Page.as_view()(RequestFactory().get("/")), "View.dispatch"),
    ],
)
async def test_what_would_run_after_the_block_is_refused(db, fn, named):
    with pytest.raises(TransactionManagementError, match=f"{named}.*was not run"):
        await run_sync(fn)
    assert await names() == []


def test_without_a_loop_sync_functions_may_return_coroutines(db):
    coroutine = transaction.atomic(lambda: write_a())()
    coroutine.close()


async def test_one_atomic_object_serves_many_tasks(db):
    block = transaction.atomic()

    async def write(number):
        async with block:
            await Author.objects.acreate(name=str(number))
            async with block:
                await Author.objects.acreate(name=str(number + 10))

    if connection.vendor == "sqlite":
        # Deferred transactions of several writers can't all succeed.
        await write(0)
    else:
        await asyncio.gather(*map(write, range(3)))
        assert len(await names()) == 6


async def test_durable_block_is_refused_inside_another(db):
    async with transaction.atomic():
        with pytest.raises(RuntimeError, match="durable"):
            async with transaction.atomic(durable=True):
                pass
        await Author.objects.acreate(name="A")
    assert await names() == ["A"]


async def test_block_without_savepoint_spoils_the_one_around_it(db):
    async with transaction.atomic():
        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic(savepoint=False):
                await Author.objects.acreate(name="A")
                raise ZeroDivisionError
        with pytest.raises(TransactionManagementError):
            await Author.objects.acount()
    assert await names() == []


async def test_savepoints_and_flags_work_through_the_bridge(db):
    async with transaction.atomic():
        await Author.objects.acreate(name="A")
        savepoint = await run_sync(connection.savepoint)
        await Author.objects.acreate(name="B")
        await run_sync(transaction.savepoint_rollback, savepoint)
        await run_sync(transaction.savepoint_commit, savepoint)
    assert await names() == ["A"]
    async with transaction.atomic():
        await Author.objects.acreate(name="C")
        await run_sync(transaction.set_rollback, True)
        assert await run_sync(transaction.get_rollback)
    assert await names() == ["A"]


async def test_autocommit_is_switched_off_and_on(db):
    await run_sync(transaction.set_autocommit, False)
    await Author.objects.acreate(name="A")
    await run_sync(transaction.rollback)
    async with transaction.atomic():
        await Author.objects.acreate(name="B")
    await run_sync(transaction.commit)
    await run_sync(transaction.set_autocommit, True)
    assert await names() == ["B"]
    assert is_whole()


async def test_with_statement_in_bare_async_code_names_the_remedy(db):
    with pytest.raises(Exception, match=r"async with transaction\.atomic"):
        with transaction.atomic():
            pass


# Tasks.


async def test_no_row_of_tasks_survives_a_block_that_fails(db):
    with pytest.raises(ZeroDivisionError):
        async with transaction.atomic():
            await asyncio.gather(
                *(Author.objects.acreate(name=str(n)) for n in range(50))
            )
            raise ZeroDivisionError
    assert await names() == []
    assert is_whole()


async def test_all_rows_of_tasks_survive_a_block_that_succeeds(db):
    async with transaction.atomic():
        await asyncio.gather(*(Author.objects.acreate(name=str(n)) for n in range(50)))
        assert statistics().size == 1
    assert len(await names()) == 50


async def test_task_that_outlives_its_block_is_refused(db):
    may_go_on = asyncio.Event()

    async def late():
        await Author.objects.acount()
        await may_go_on.wait()
        with pytest.raises(TransactionEnded, match=r"'late' was started.*test_trans"):
            await Author.objects.acreate(name="late")
        with pytest.raises(TransactionEnded):
            async with transaction.atomic():
                pass
        with pytest.raises(TransactionEnded):
            transaction.on_commit(print)
        async with new_connections():
            return await names()

    async with transaction.atomic():
        await Author.objects.acreate(name="A")
        task = asyncio.create_task(late(), name="late")
        await asyncio.sleep(0)
    may_go_on.set()
    assert await task == ["A"]
    async with transaction.atomic():
        await Author.objects.acreate(name="B")
    assert await names() == ["A", "B"]


async def test_task_that_first_queries_after_its_block_is_refused(db):
    async with transaction.atomic():
        task = asyncio.create_task(Author.objects.acreate(name="late"))
    with pytest.raises(TransactionEnded):
        await task
    assert await names() == []


async def test_refused_task_doesn_t_spoil_the_next_transaction(db):
    may_go_on = asyncio.Event()

    async def late():
        await Author.objects.acount()
        await may_go_on.wait()
        await Author.objects.acreate(name="late")

    async with transaction.atomic():
        task = asyncio.create_task(late())
        await Author.objects.acount()
    async with transaction.atomic():
        may_go_on.set()
        with pytest.raises(TransactionEnded):
            await task
        await Author.objects.acreate(name="A")
    assert await names() == ["A"]


async def test_cursor_kept_beyond_the_block_is_refused(db):
    may_go_on = asyncio.Event()

    async def keep():
        cursor = await run_sync(connection.cursor)
        await may_go_on.wait()
        await run_sync(cursor.execute, "DELETE FROM app_author")

    async with transaction.atomic():
        task = asyncio.create_task(keep())
        await Author.objects.acount()
    async with transaction.atomic():
        await Author.objects.acreate(name="A")
        may_go_on.set()
        with pytest.raises(TransactionEnded):
            await task
    assert await names() == ["A"]


async def test_sibling_waits_for_the_end_of_a_nested_block(db):
    order = []
    inside = asyncio.Event()

    async def nested():
        async with transaction.atomic():
            await Author.objects.acreate(name="nested")
            inside.set()
            for _ in range(5):
                await asyncio.sleep(0)
            order.append("nested")
            raise ZeroDivisionError

    async def plain():
        await inside.wait()
        await Author.objects.acreate(name="plain")
        order.append("plain")

    async with transaction.atomic():
        results = await asyncio.gather(nested(), plain(), return_exceptions=True)
        await Author.objects.acreate(name="parent")
    assert isinstance(results[0], ZeroDivisionError)
    assert order == ["nested", "plain"]
    assert await names() == ["parent", "plain"]


@pytest.mark.only("postgresql")
async def test_iteration_waits_for_the_end_of_a_nested_block(db):
    """
    While that block has failed, the server refuses every statement, a FETCH too.
    """
    failed, may_go_on = asyncio.Event(), asyncio.Event()

    async def nested():
        with pytest.raises(IntegrityError):
            async with transaction.atomic():
                try:
                    await Tag.objects.acreate(name="same")
                finally:
                    failed.set()
                    await may_go_on.wait()

    async def iterate():
        seen = []
        async for author in Author.objects.order_by("pk").aiterator(chunk_size=1):
            seen.append(author.name)
            if len(seen) == 1:
                task = asyncio.create_task(nested())
                await failed.wait()
                asyncio.get_running_loop().call_soon(may_go_on.set)
        await task
        return seen

    await Tag.objects.acreate(name="same")
    for name in "ABC":
        await Author.objects.acreate(name=name)
    async with transaction.atomic():
        assert await asyncio.create_task(iterate()) == ["A", "B", "C"]


async def test_block_waits_for_the_nested_blocks_of_its_tasks(db):
    inside = asyncio.Event()

    async def nested():
        async with transaction.atomic():
            await Author.objects.acreate(name="1")
            inside.set()
            await asyncio.sleep(0)
            await Author.objects.acreate(name="2")

    async with transaction.atomic():
        task = asyncio.create_task(nested())
        await inside.wait()
    await task
    assert await names() == ["1", "2"]


async def test_failing_block_ends_the_nested_blocks_of_its_tasks(db):
    inside, may_go_on = asyncio.Event(), asyncio.Event()

    async def nested():
        async with transaction.atomic():
            await Author.objects.acreate(name="1")
            inside.set()
            await may_go_on.wait()

    with pytest.raises(ZeroDivisionError):
        async with transaction.atomic():
            task = asyncio.create_task(nested())
            await inside.wait()
            raise ZeroDivisionError
    may_go_on.set()
    with pytest.raises(TransactionEnded, match="rolled back"):
        await task
    async with transaction.atomic():
        await Author.objects.acreate(name="A")
    assert await names() == ["A"]
    assert is_whole()


async def test_task_that_leaves_a_nested_block_open_has_it_rolled_back(db):
    async def leave():
        await transaction.atomic().__aenter__()
        await Author.objects.acreate(name="left")

    async with transaction.atomic():
        await asyncio.create_task(leave())
        await Author.objects.acreate(name="A")
    assert await names() == ["A"]


async def test_failure_of_an_unawaited_task_is_not_committed_silently(db):
    async def fail():
        await Tag.objects.acreate(name="same")

    await Tag.objects.acreate(name="same")
    with pytest.raises(TransactionRolledBack, match="IntegrityError"):
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            task = asyncio.create_task(fail())
            await asyncio.wait([task])
    assert isinstance(task.exception(), IntegrityError)
    assert await names() == []


async def test_new_connections_are_outside_the_transaction(db):
    async with transaction.atomic():
        if connection.vendor == "postgresql":
            await Author.objects.acreate(name="A")
        async with new_connections():
            assert not connection.in_atomic_block
            assert await names() == []
            assert await asyncio.create_task(Author.objects.acount()) == 0
        assert connection.in_atomic_block
        await Author.objects.acreate(name="B")
    assert "B" in await names()
    assert is_whole()


async def test_new_connections_in_the_bridge(db):
    def count():
        with transaction.atomic():
            with new_connections():
                with transaction.atomic():
                    Author.objects.create(name="A")
            return Author.objects.count()

    assert await run_sync(count) == 1


# Waits that can't end.


@pytest.mark.parametrize("how", ["await", "gather", "wait", "shield", "through"])
async def test_wait_for_a_task_that_waits_for_this_block_is_refused(db, how):
    async def child():
        await Author.objects.acount()

    async def through(task):
        await task

    async def wait_for(task):
        if how == "gather":
            await asyncio.gather(task)
        elif how == "wait":
            await asyncio.wait([task])
            task.result()
        elif how == "shield":
            await asyncio.shield(task)
        elif how == "through":
            await asyncio.create_task(through(task))
        else:
            await task

    async with transaction.atomic():
        await Author.objects.acreate(name="A")
        task = asyncio.create_task(child(), name="the child")
        async with transaction.atomic():
            with pytest.raises(TransactionDeadlock, match="the child"):
                await wait_for(task)
            await Author.objects.acreate(name="B")
    assert await names() == ["A", "B"]


async def test_group_left_inside_a_nested_block_is_a_deadlock(db):
    async with transaction.atomic():
        child = Author.objects.acount()
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(child)
                async with transaction.atomic():
                    group.create_task(asyncio.wait([task]))
                    await asyncio.wait([task])
                    task.result()
    assert caught.group_contains(TransactionDeadlock)


async def test_wait_for_a_turn_is_bounded(db, monkeypatch):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", {"timeout": 0.1})
    enough = asyncio.Event()

    async def child():
        try:
            await Author.objects.acount()
        finally:
            enough.set()

    async with transaction.atomic():
        task = asyncio.create_task(child())
        async with transaction.atomic():
            await enough.wait()
    with pytest.raises(PoolTimeout, match="test_transactions"):
        await task


# Threads.


async def test_thread_joins_the_transaction(db):
    def write(name):
        assert threading.current_thread() is not threading.main_thread()
        Author.objects.create(name=name)
        return sorted(Author.objects.values_list("name", flat=True))

    with pytest.raises(ZeroDivisionError):
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            assert await sync_to_async(write)("B") == ["A", "B"]
            assert await run_sync(offload, write, "C") == ["A", "B", "C"]
            assert await asyncio.to_thread(write, "D") == ["A", "B", "C", "D"]
            raise ZeroDivisionError
    assert await names() == []
    assert is_whole()


async def test_thread_for_which_the_loop_is_blocked_is_told_so(db, monkeypatch):
    """
    As the loop waits for the thread, which has to query on the loop.
    """
    monkeypatch.setattr("django_evergreen.bridge._asyncio.START_TIMEOUT", 0.2)
    errors = []

    def query():
        with pytest.raises(NotInBridge, match="was blocked") as caught:
            Author.objects.count()
        errors.append(str(caught.value))

    async with transaction.atomic():
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(query,))
        thread.start()
        thread.join(10)
        assert f"{threading.__file__}:" in errors[0]
        assert await Author.objects.acount() == 0
    assert is_whole()


async def test_threads_have_nested_blocks(db):
    def write(name, *, fails):
        with transaction.atomic():
            Author.objects.create(name=name)
            with transaction.atomic():
                Author.objects.create(name=name + name)
            if fails:
                raise ZeroDivisionError

    async with transaction.atomic():
        await asyncio.gather(
            *(asyncio.to_thread(write, name, fails=name in "BD") for name in "ABCD"),
            return_exceptions=True,
        )
    assert await names() == ["A", "AA", "C", "CC"]


async def test_thread_that_outlives_its_block_is_refused(db):
    may_go_on = threading.Event()

    def late():
        Author.objects.count()
        inside.release()
        assert may_go_on.wait(10)
        with pytest.raises(TransactionEnded, match="The thread"):
            Author.objects.create(name="late")

    inside = threading.Semaphore(0)
    async with transaction.atomic():
        task = asyncio.create_task(asyncio.to_thread(late))
        await asyncio.to_thread(inside.acquire)
    may_go_on.set()
    await task
    assert await names() == []


def test_task_started_in_a_thread_s_transaction_is_refused(run, db):
    async def query():
        await run_sync(Author.objects.count)

    with transaction.atomic():
        with pytest.raises(TransactionNotOwned, match="the thread"):
            run(query())
