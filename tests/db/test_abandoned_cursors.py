"""
Iterations that are abandoned, and those with others beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models.expressions import RawSQL
from django.db.transaction import atomic

from django_evergreen.bridge import await_, no_switch, run_sync
from django_evergreen.db import statistics
from tests.app.models import Author, Book

ROWS = 300


@pytest.fixture
def rows(db):
    Author.objects.bulk_create(Author(name=f"{n}") for n in range(ROWS))


# Expressions that take too long, and statements that take a while.
COUNT = (
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %s) "
    "SELECT count(*) FROM c"
)
SLOW = {
    "postgresql": ("SELECT 1 FROM pg_sleep(%s)", [60]),
    "sqlite": (COUNT, [10**12]),
}
QUICK = {
    "postgresql": ("SELECT 1 FROM pg_sleep(%s)", [0.01]),
    "sqlite": (COUNT, [10_000]),
}


def iterate():
    return Author.objects.order_by("pk").aiterator(chunk_size=10)


class Failure(Exception):
    """
    Leaves an iteration, or a block.
    """


def server_side_cursors():
    """
    Return how many the connection has; SQLite has none.
    """
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE name LIKE '_django_%%'")
        return cursor.fetchone()[0]


async def until_given_back():
    async with asyncio.timeout(10):
        while statistics().holders:
            await asyncio.sleep(0)


async def assert_nothing_is_left_open():
    """
    The connection comes back to the pool by itself, and has no cursor open.
    """
    gc.collect()
    await until_given_back()
    s = statistics()
    assert s.idle == s.size <= 1
    assert await run_sync(server_side_cursors) == 0
    # On SQLite an open statement would lock the file.
    await Author.objects.acreate(name="next")
    assert statistics().size == 1


# Abandoned.


async def leave_by_break():
    async for _ in iterate():
        break


async def leave_by_an_exception():
    with contextlib.suppress(Failure):
        async for _ in iterate():
            raise Failure


async def leave_by_return():
    async for _ in iterate():
        return


async def leave_by_closing():
    async with contextlib.aclosing(iterate()) as authors:
        async for _ in authors:
            break


async def leave_to_the_collector():
    authors = iterate()
    await anext(authors)
    # Only a full collection finds it.
    cycle = [authors]
    cycle.append(cycle)


async def leave_a_sync_iteration():
    def take_one():
        for _ in Author.objects.iterator(chunk_size=10):
            break

    await run_sync(take_one)


async def leave_a_sync_iteration_to_bare_async_code():
    def take_one():
        authors = Author.objects.iterator(chunk_size=10)
        next(authors)
        return authors

    await run_sync(take_one)


WAYS = [
    leave_by_break,
    leave_by_an_exception,
    leave_by_return,
    leave_by_closing,
    leave_to_the_collector,
    leave_a_sync_iteration,
    leave_a_sync_iteration_to_bare_async_code,
]
each_way = pytest.mark.parametrize("leave", WAYS, ids=lambda leave: leave.__name__)


@each_way
async def test_abandoned_iteration_leaves_nothing_open(rows, leave):
    await leave()
    await assert_nothing_is_left_open()


@each_way
async def test_abandoned_iteration_leaves_nothing_open_after_its_task(rows, leave):
    await asyncio.create_task(leave())
    await assert_nothing_is_left_open()


@each_way
async def test_transaction_goes_on_after_an_abandoned_iteration(rows, leave):
    async with atomic():
        await leave()
        gc.collect()
        await Author.objects.acreate(name="after")
        assert await Author.objects.acount() == ROWS + 1
    await assert_nothing_is_left_open()
    assert await Author.objects.filter(name="after").aexists()


@each_way
async def test_iteration_abandoned_in_a_block_that_is_rolled_back(rows, leave):
    async with atomic():
        with contextlib.suppress(Failure):
            async with atomic():
                await Author.objects.acreate(name="rolled back")
                await leave()
                raise Failure
        assert await Author.objects.acount() == ROWS
    await assert_nothing_is_left_open()


async def test_iteration_cancelled_between_two_rows(rows):
    async def count():
        async for _ in iterate():
            has_begun.set()
            await asyncio.Event().wait()

    has_begun = asyncio.Event()
    task = asyncio.create_task(count())
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_nothing_is_left_open()


async def test_iteration_that_times_out_in_its_query(rows):
    """
    Django closes the cursor of a query that fails, but not of a cancelled one.
    """
    slow = Author.objects.annotate(slow=RawSQL(*SLOW[connection.vendor]))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            async for _ in slow.aiterator():
                pytest.fail("It was not slow.")
    await assert_nothing_is_left_open()


async def test_iteration_cancelled_at_every_step(rows):
    """
    Cancels after each number of turns of the loop, until it is through.
    """

    async def count():
        return len([author async for author in Author.objects.aiterator(100)])

    for turns in range(1000):
        task = asyncio.create_task(count())
        for _ in range(turns):
            await asyncio.sleep(0)
        done = task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await until_given_back()
        assert statistics().size <= 1
        if done:
            break
    else:
        pytest.fail("The iteration never got through.")
    assert await count() == ROWS
    await assert_nothing_is_left_open()


async def test_iteration_is_not_closed_by_the_collector_itself(rows):
    """
    A ``__del__`` that waits would stop whatever happens to be running.
    """

    def abandon():
        authors = Author.objects.iterator(chunk_size=10)
        next(authors)
        with no_switch():
            del authors

    await run_sync(abandon)
    await assert_nothing_is_left_open()


def leave_to_a_full_collection():
    authors = Author.objects.iterator(chunk_size=10)
    next(authors)
    cycle = [authors]
    cycle.append(cycle)


async def collect_in_bare_async_code():
    gc.collect()


async def collect_in_the_bridge():
    await run_sync(gc.collect)


async def collect_between_a_query_and_its_rows():
    def collect():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            gc.collect()
            assert cursor.fetchone() == (1,)

    await run_sync(collect)


async def collect_in_a_thread():
    await asyncio.to_thread(gc.collect)


each_collector = pytest.mark.parametrize(
    "collect",
    [
        collect_in_bare_async_code,
        collect_in_the_bridge,
        collect_between_a_query_and_its_rows,
        collect_in_a_thread,
    ],
    ids=lambda collect: collect.__name__,
)


@pytest.fixture
def no_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@each_collector
async def test_iteration_is_collected_while_its_task_waits(rows, no_gc, collect):
    """
    Neither that task notices, nor the one that runs the collector.
    """
    is_left, may_go_on = asyncio.Event(), asyncio.Event()

    def leave():
        leave_to_a_full_collection()
        is_left.set()
        await_(may_go_on.wait())
        return Author.objects.count()

    task = asyncio.create_task(run_sync(leave))
    await is_left.wait()
    await collect()
    may_go_on.set()
    assert await task == ROWS
    await until_given_back()
    assert await Author.objects.acount() == ROWS


@each_collector
async def test_iteration_is_collected_while_its_task_queries(rows, no_gc, collect):
    """
    Its connection isn't taken from under the statement.
    """
    is_left = asyncio.Event()

    def leave():
        leave_to_a_full_collection()
        is_left.set()
        return [connection.cursor().execute(*QUICK[connection.vendor]) for _ in "123"]

    task = asyncio.create_task(run_sync(leave))
    await is_left.wait()
    assert not task.done()
    await collect()
    assert len(await task) == 3
    await until_given_back()
    assert await Author.objects.acount() == ROWS


# Fails on SQLite: close() forgets a cursor that it isn't allowed to close.
async def test_iteration_cannot_be_carried_on_when_its_task_has_ended(rows, caplog):
    async def begin():
        await anext(authors)

    authors = iterate()
    await asyncio.create_task(begin())
    with pytest.raises(InterfaceError):
        async for _ in authors:
            pass
    await until_given_back()
    assert await Author.objects.acount() == ROWS


# Fails on PostgreSQL: a cursor is forgotten whose close() is interrupted.
def test_iteration_abandoned_as_the_loop_ends(run, rows):
    kept = []

    async def abandon():
        kept.append(iterate())
        await anext(kept[0])

    run(abandon())
    run(assert_nothing_is_left_open())


# Others beside an iteration.


@contextlib.asynccontextmanager
async def no_block():
    yield


each_block = pytest.mark.parametrize(
    "block", [no_block, atomic], ids=["bare", "atomic"]
)


@each_block
async def test_query_during_an_iteration(rows, block):
    async with block():
        seen = [await Author.objects.acount() async for _ in iterate()]
    assert seen == [ROWS] * ROWS
    await assert_nothing_is_left_open()


@each_block
async def test_iteration_during_an_iteration(rows, block):
    seen = 0
    async with block():
        async for one in iterate():
            async for other in iterate():
                seen += 1
                if other == one:
                    break
    assert seen == ROWS * (ROWS + 1) / 2
    await assert_nothing_is_left_open()


@each_block
async def test_two_iterations_in_turns(rows, block):
    async with block():
        one, other = iterate(), iterate()
        pairs = [(await anext(one), await anext(other)) for _ in range(ROWS)]
        for authors in (one, other):
            assert await anext(authors, None) is None
    assert all(author == same for author, same in pairs)
    await assert_nothing_is_left_open()


@each_block
async def test_update_of_the_rows_that_are_iterated(rows, block):
    async with block():
        async for author in iterate():
            author.name += "!"
            await author.asave()
    names = [name async for name in Author.objects.values_list("name", flat=True)]
    assert sorted(names) == sorted(f"{n}!" for n in range(ROWS))
    await assert_nothing_is_left_open()


@each_block
async def test_nested_block_during_an_iteration(rows, block):
    async with block():
        async for author in iterate():
            with contextlib.suppress(Failure):
                async with atomic():
                    await Book.objects.acreate(title=author.name, author=author)
                    if author.pk % 2:
                        raise Failure
    assert await Book.objects.acount() == ROWS / 2
    await assert_nothing_is_left_open()


async def test_siblings_write_while_one_iterates(rows):
    """
    In one transaction; each gets through, and the reader sees what it began with.
    """
    one_has_been_read = asyncio.Event()

    async def read():
        seen = []
        async for author in iterate():
            one_has_been_read.set()
            seen.append(author.name)
            await asyncio.sleep(0)
        return seen

    async def write(number):
        await one_has_been_read.wait()
        for n in range(10):
            await Author.objects.acreate(name=f"{number}.{n}")

    async with atomic():
        seen, *_ = await asyncio.gather(read(), *(write(n) for n in range(5)))
        assert await Author.objects.acount() == ROWS + 50
    if connection.vendor == "postgresql":
        assert seen == [f"{n}" for n in range(ROWS)]
    else:
        assert seen[:ROWS] == [f"{n}" for n in range(ROWS)]
    await assert_nothing_is_left_open()


async def test_siblings_iterate_and_open_nested_blocks(rows):
    """
    A nested block of a sibling may roll back between two rows.
    """

    async def read():
        return [author.name async for author in iterate()]

    async def fail(number):
        for _ in range(10):
            with contextlib.suppress(Failure):
                async with atomic():
                    await Author.objects.acreate(name=f"{number}")
                    raise Failure

    async with atomic():
        seen, *_ = await asyncio.gather(read(), *(fail(n) for n in range(5)))
        assert await Author.objects.acount() == ROWS
    assert len(seen) >= ROWS
    await assert_nothing_is_left_open()


@pytest.mark.only("postgresql")
async def test_server_side_cursor_of_a_rolled_back_block_is_an_error_not_a_hang(rows):
    with pytest.raises(DatabaseError, match="does not exist"):
        async with atomic():
            with contextlib.suppress(Failure):
                async with atomic():
                    authors = iterate()
                    await anext(authors)
                    raise Failure
            async for _ in authors:
                pass
    await assert_nothing_is_left_open()


# Tasks that share a queryset.


async def test_queryset_evaluated_by_two_tasks_is_right_for_both(rows):
    async def evaluate():
        return [author async for author in authors]

    authors = Author.objects.order_by("pk")
    one, other = await asyncio.gather(evaluate(), evaluate())
    assert one == other
    assert [author.name for author in one] == [f"{n}" for n in range(ROWS)]
    # From now on from its cache, which no task has spoilt.
    with no_switch():
        assert await run_sync(list, authors) == one


@pytest.mark.parametrize("turns", range(12))
async def test_queryset_with_prefetches_evaluated_by_two_tasks(rows, turns):
    """
    Neither gets rows of which the prefetched ones are still to come.
    """

    async def evaluate():
        return [[book.title for book in author.books.all()] async for author in authors]

    for author in [author async for author in iterate()][:20]:
        await Book.objects.acreate(title=author.name, author=author)
    authors = Author.objects.order_by("pk").prefetch_related("books")[:20]
    one = asyncio.create_task(evaluate())
    for _ in range(turns):
        await asyncio.sleep(0)
    expected = [[f"{n}"] for n in range(20)]
    assert await asyncio.gather(one, evaluate()) == [expected, expected]


# Fails: the lock of the evaluation waits for the block, and the block for the lock.
async def test_queryset_shared_across_a_nested_block_is_no_deadlock(rows):
    """
    One of the tasks waits for the end of the block in which the other one evaluates.
    """

    async def evaluate():
        return [author.pk async for author in authors]

    async def evaluate_in_a_block():
        async with atomic():
            is_in.set()
            for _ in range(10):
                await asyncio.sleep(0)
            return await evaluate()

    is_in = asyncio.Event()
    authors = Author.objects.order_by("pk").prefetch_related("books")
    async with asyncio.timeout(10), atomic():
        inside = asyncio.create_task(evaluate_in_a_block())
        await is_in.wait()
        one, other = await asyncio.gather(evaluate(), inside)
    assert one == other
    assert len(one) == ROWS


def test_queryset_is_not_awaitable():
    """
    Else a forgotten ``await`` would go unnoticed, and an extra one, too.
    """
    assert not inspect.isawaitable(Author.objects.all())


async def test_next_statement_closes_an_abandoned_cursor_in_a_transaction(rows):
    def work():
        with atomic():
            authors = Author.objects.iterator(chunk_size=1)
            next(authors)
            del authors
            gc.collect()
            return server_side_cursors()

    assert await run_sync(work) == 0


async def test_abandoned_cursor_in_a_block_that_has_failed(rows):
    """
    It goes with the transaction, and hides no error.
    """

    def work():
        with atomic():
            authors = Author.objects.iterator(chunk_size=1)
            next(authors)
            with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
                cursor.execute("SELECT no_such_column FROM no_such_table")
            del authors
            gc.collect()
            with connection.cursor() as cursor, pytest.raises(DatabaseError):
                cursor.execute("SELECT 1 FROM no_such_table")
            transaction.set_rollback(True)

    await run_sync(work)
    await assert_nothing_is_left_open()


@pytest.mark.only("postgresql")
async def test_cursor_in_use_is_closed_with_its_connection(rows):
    """
    Of a block that was left open, while a task inside it fetches.
    """
    # Not for long: the server goes on with it, and keeps its lock.
    sleeping = Author.objects.annotate(slept=RawSQL("pg_sleep(0.5)::text", []))[:1]

    async def fetch():
        async for _ in sleeping.aiterator(chunk_size=10):
            pass

    async def leave_open():
        await atomic().__aenter__()
        task = asyncio.create_task(fetch())
        while connection.connection is None or not connection.connection.lock.locked:
            await asyncio.sleep(0)
        return task

    task = await asyncio.create_task(leave_open())
    with pytest.raises(DatabaseError):
        await task
    # Else it would warn whenever it's collected.
    # isinstance() would ask lazy objects, and so make them.
    cursors = [o for o in gc.get_objects() if issubclass(type(o), psycopg.ServerCursor)]
    assert cursors
    assert all(cursor.closed for cursor in cursors)
