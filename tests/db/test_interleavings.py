"""
Sibling tasks in one transaction: whatever the order of their steps, each block
is all or nothing, and the blocks of siblings don't mix.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, connections
from django.db.transaction import atomic
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from django_evergreen.bridge import await_, run_sync
from django_evergreen.db import TransactionEnded, new_connections, statistics
from tests.app.models import Author, Restaurant, Tag
from tests.fix_loops import DEBUG

# Seconds after which an interleaving counts as a hang.
PATIENCE = 10
EXAMPLES = {"asyncio": 1000, "uvloop": 100}


# What tasks do: trees of steps.


@dataclass(frozen=True)
class Write:
    """
    Insert a row.
    """


@dataclass(frozen=True)
class Increment:
    """
    Read the counter, let others take a step, and write it: all in one block.
    """


@dataclass(frozen=True)
class Spawn:
    """
    Start a task, which is awaited at the end of the innermost block.
    """

    steps: tuple[Any, ...]


@dataclass(frozen=True)
class Nested:
    """
    Open a nested block, by ``async with`` or by ``with`` in the bridge.

    It is left by "commit", by an exception ("raise") or by an error of the
    database ("query").
    """

    steps: tuple[Any, ...]
    end: str
    in_bridge: bool


def steps(levels, most=2):
    """
    Some steps, with nested blocks ``levels`` deep.
    """
    kinds = [st.just(Write())]
    if levels:
        spawn = st.builds(Spawn, steps(levels - 1))
        kinds += [st.just(Increment()), nested(levels), spawn]
    return st.lists(st.one_of(kinds), max_size=most).map(tuple)


def nested(levels):
    inside = steps(levels - 1)
    if levels > 1:
        inside = st.builds(
            lambda before, block, after: (*before, block, *after),
            steps(levels - 1, most=1),
            nested(levels - 1),
            steps(levels - 1, most=1),
        )
    ends = st.sampled_from(["commit", "commit", "raise", "query"])
    return st.builds(Nested, inside, ends, st.booleans())


def programs():
    """
    What a task does: two levels of nested blocks, and steps beside them.
    """
    return st.builds(
        lambda before, block, after: (*before, block, *after),
        steps(2, most=1),
        nested(2),
        steps(2, most=1),
    )


# In which order they do it.


@dataclass(eq=False)
class Block:
    name: str
    parent: Block | None = None
    is_ending: bool = False

    def is_inside(self, other):
        return self is other or (
            self.parent is not None and self.parent.is_inside(other)
        )


@dataclass
class Scheduler:
    """
    Lets tasks take one step after the other, in the order that numbers say.

    A task whose step has to wait for the end of a sibling's block is passed over.
    """

    numbers: Any
    # Who wants to take a step.
    asking: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    # Who takes one, in which block.
    stepping: dict[str, Block] = field(default_factory=dict)
    # The open blocks, the innermost at the end.
    blocks: list[Block] = field(default_factory=list)
    tasks: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def turn(self, name, block):
        """
        End the step of a task and wait until it may take the next.
        """
        self.asking[name] = turn = asyncio.get_running_loop().create_future()
        self.rests(name)
        await turn
        del self.asking[name]
        self.steps(name, block)

    def steps(self, name, block):
        self.stepping[name] = block
        self.changed.set()

    def rests(self, name):
        self.stepping.pop(name, None)
        self.changed.set()

    def entered(self, block):
        for other in self.blocks:
            assert other.is_ending or block.is_inside(other), (block, self.blocks)
        self.blocks.append(block)

    def left(self, name, block):
        self.blocks.remove(block)
        self.steps(name, block.parent)

    async def run(self):
        while self.tasks:
            waiting = sorted(name for name in self.asking if name not in self.stepping)
            if waiting and self.all_are_blocked():
                name = waiting[next(self.numbers, 0) % len(waiting)]
                # Until it wakes up and knows better.
                self.stepping[name] = self.blocks[-1]
                self.asking[name].set_result(None)
            await self.changed.wait()
            self.changed.clear()

    def all_are_blocked(self):
        """
        Return whether every step that was begun waits for the end of a block.
        """
        return all(block is not self.blocks[-1] for block in self.stepping.values())


class Failure(Exception):
    """
    Leaves a block.
    """


@dataclass
class Outcome:
    """
    What is there when a block has ended.
    """

    rows: set[str] = field(default_factory=set)
    count: int = 0

    def add(self, other):
        self.rows |= other.rows
        self.count += other.count


class Interleaving:
    """
    Tasks in one transaction, each with a program.
    """

    def __init__(self, programs, numbers):
        self.programs = programs
        self.scheduler = Scheduler(itertools.chain(numbers, itertools.repeat(0)))
        self.expected = Outcome()
        self.statements = []

    async def run(self):
        outer = Block("outer")
        self.scheduler.blocks.append(outer)
        async with asyncio.timeout(PATIENCE), atomic():
            with connection.execute_wrapper(self.observe):
                async with asyncio.TaskGroup() as group:
                    for number, program in enumerate(self.programs):
                        self.spawn(group, str(number), program, outer, self.expected)
                    await self.scheduler.run()

    def observe(self, execute, sql, params, many, context):
        try:
            return execute(sql, params, many, context)
        finally:
            self.statements.append(sql)

    def spawn(self, group, name, program, block, outcome):
        self.scheduler.tasks += 1
        self.scheduler.steps(name, block)
        group.create_task(self.task(name, program, block, outcome), name=name)

    async def task(self, name, program, block, outcome):
        await self.take_steps(name, name, program, block, outcome)
        self.scheduler.tasks -= 1
        self.scheduler.rests(name)

    async def take_steps(self, name, path, program, block, outcome):
        async with asyncio.TaskGroup() as group:
            for number, step in enumerate(program):
                here = f"{path}.{number}"
                await self.scheduler.turn(name, block)
                match step:
                    case Write():
                        await Author.objects.acreate(name=here)
                        outcome.rows.add(here)
                    case Increment():
                        await self.increment(name, Block(here, block))
                        outcome.count += 1
                    case Nested():
                        outcome.add(await self.nested(name, Block(here, block), step))
                    case Spawn():
                        self.spawn(group, here, step.steps, block, outcome)
            self.scheduler.rests(name)

    async def increment(self, name, block):
        async with atomic():
            self.scheduler.entered(block)
            await self.scheduler.turn(name, block)
            stars = await Restaurant.objects.values_list("stars", flat=True).aget()
            await self.scheduler.turn(name, block)
            await Restaurant.objects.aupdate(stars=stars + 1)
            await self.about_to_leave(name, block)
        self.scheduler.left(name, block)

    async def nested(self, name, block, step):
        outcome = Outcome()

        async def inside():
            self.scheduler.entered(block)
            await self.take_steps(name, block.name, step.steps, block, outcome)
            await self.about_to_leave(name, block)
            if step.end == "raise":
                raise Failure
            if step.end == "query":
                await Tag.objects.acreate(name="taken")

        def in_bridge():
            with atomic():
                await_(inside())

        try:
            if step.in_bridge:
                await run_sync(in_bridge)
            else:
                async with atomic():
                    await inside()
        except (Failure, IntegrityError):
            assert step.end != "commit"
            outcome = Outcome()
        self.scheduler.left(name, block)
        return outcome

    async def about_to_leave(self, name, block):
        await self.scheduler.turn(name, block)
        block.is_ending = True


SAVEPOINT = re.compile(r'^(SAVEPOINT|ROLLBACK TO SAVEPOINT|RELEASE SAVEPOINT) "?(\w+)')


def assert_savepoints_nest(statements):
    names = []
    for match in filter(None, map(SAVEPOINT.match, statements)):
        verb, name = match.groups()
        if verb == "SAVEPOINT":
            names.append(name)
        else:
            assert names[-1] == name, statements
        if verb == "RELEASE SAVEPOINT":
            names.pop()
    assert names == []


async def check_interleaving(interleaving):
    await Author.objects.all().adelete()
    await Restaurant.objects.aupdate(stars=0)
    try:
        await interleaving.run()
    except BaseException:
        # Hypothesis says with which arguments, unless it is killed meanwhile.
        print(interleaving.programs, interleaving.scheduler)
        raise
    expected = interleaving.expected
    rows = [name async for name in Author.objects.values_list("name", flat=True)]
    assert sorted(rows) == sorted(expected.rows)
    restaurant = await Restaurant.objects.aget()
    assert restaurant.stars == expected.count
    assert_savepoints_nest(interleaving.statements)
    assert len(interleaving.statements) >= 3 * len(interleaving.programs)
    assert (statistics().size, statistics().holders) == (1, ())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_interleaved_blocks_of_siblings_do_what_they_do_one_after_the_other(
    db, loop_factory, request
):
    """
    Rows are those of the blocks that were committed, and no increment is lost,
    which each would be if the blocks of siblings mixed.
    """
    Restaurant.objects.create(name="R")
    Tag.objects.create(name="taken")
    examples = EXAMPLES[request.node.callspec.id]

    @settings(max_examples=examples, deadline=None, phases=set(Phase) - {Phase.explain})
    @given(
        st.tuples(programs(), programs(), programs()),
        st.lists(st.integers(0, 5), max_size=60),
    )
    def check(programs, numbers):
        runner.run(check_interleaving(Interleaving(programs, numbers)))

    with asyncio.Runner(debug=DEBUG, loop_factory=loop_factory) as runner:
        check()


# The plain cases.


async def names():
    return [
        name
        async for name in Author.objects.order_by("pk").values_list("name", flat=True)
    ]


async def test_gather_of_50_writes_in_a_block_that_then_raises_leaves_no_row(db):
    with pytest.raises(Failure):
        async with atomic():
            await asyncio.gather(*(Author.objects.acreate(name=n) for n in range(50)))
            assert await Author.objects.acount() == 50
            raise Failure
    assert await Author.objects.acount() == 0
    assert (statistics().size, statistics().holders) == (1, ())


async def test_gather_of_50_writes_in_a_block_is_committed_whole(db):
    async with atomic():
        await asyncio.gather(*(Author.objects.acreate(name=n) for n in range(50)))
    assert await Author.objects.acount() == 50
    assert statistics().size == 1


async def test_gather_left_by_the_first_error_leaves_no_row(db):
    """
    ``gather`` doesn't wait for the others then; they must not write any more.
    """
    await Tag.objects.acreate(name="taken")
    writes = []

    async def write(number):
        name = "taken" if number == 10 else f"{number}"
        await Tag.objects.acreate(name=name)

    with pytest.raises(IntegrityError):
        async with atomic():
            writes += [asyncio.create_task(write(number)) for number in range(50)]
            await asyncio.gather(*writes)
    results = await asyncio.gather(*writes, return_exceptions=True)
    # Some were sent before the error was known; SQLite minds nothing.
    assert all(
        result is None or isinstance(result, DatabaseError) for result in results
    )
    assert [tag.name async for tag in Tag.objects.all()] == ["taken"]
    assert statistics().holders == ()


async def test_siblings_nested_blocks_end_each_in_its_own_way(db):
    """
    The second waits until the first is rolled back, which takes nothing of it along.
    """
    first_is_in, events = asyncio.Event(), []

    async def first():
        with contextlib.suppress(Failure):
            async with atomic():
                events.append("first is in")
                first_is_in.set()
                await Author.objects.acreate(name="first")
                await until_waiting_for_turn(second_task)
                events.append("first fails")
                raise Failure

    async def second():
        await first_is_in.wait()
        async with atomic():
            events.append("second is in")
            await Author.objects.acreate(name="second")

    async with atomic():
        second_task = asyncio.create_task(second())
        await asyncio.gather(first(), second_task)
    assert events == ["first is in", "first fails", "second is in"]
    assert await names() == ["second"]


async def until_waiting_for_turn(task):
    """
    Let a task go on until it has been waiting for a while, whatever for.
    """
    for _ in range(100):
        assert not task.done()
        await asyncio.sleep(0)


async def test_statement_of_the_outer_block_waits_for_a_sibling_s_nested_one(db):
    is_in, may_fail = asyncio.Event(), asyncio.Event()

    async def nested():
        with contextlib.suppress(Failure):
            async with atomic():
                is_in.set()
                await may_fail.wait()
                await Author.objects.acreate(name="nested")
                raise Failure

    async with atomic():
        task = asyncio.create_task(nested())
        await is_in.wait()
        mine = asyncio.create_task(Author.objects.acreate(name="mine"))
        await until_waiting_for_turn(mine)
        may_fail.set()
        await asyncio.gather(task, mine)
    # Inside of the savepoint it would be gone.
    assert await names() == ["mine"]


async def test_only_the_inner_block_is_rolled_back(db):
    async with atomic():
        await Author.objects.acreate(name="before")
        with pytest.raises(Failure):
            async with atomic(savepoint=True):
                await Author.objects.acreate(name="inside")
                raise Failure
        await Author.objects.acreate(name="after")
    assert await names() == ["before", "after"]


# Tasks that outlive their block.


async def write():
    await Author.objects.acreate(name="late")


async def read():
    await Author.objects.acount()


async def iterate():
    async for _ in Author.objects.aiterator():
        pass


async def write_in_a_block():
    async with atomic():
        await write()


async def write_in_sync_code():
    def in_bridge():
        with atomic():
            Author.objects.create(name="late")

    await run_sync(in_bridge)


async def write_in_a_thread():
    await asyncio.to_thread(Author.objects.create, name="late")


async def write_in_another_task():
    await asyncio.create_task(write(), name="late")


LATE = [
    write,
    read,
    iterate,
    write_in_a_block,
    write_in_sync_code,
    write_in_a_thread,
    write_in_another_task,
]


def start_late(act=write):
    """
    Start a task that acts when it's told so, after the end of its block.
    """

    async def late():
        await may_act.wait()
        await act()

    may_act = asyncio.Event()
    return asyncio.create_task(late(), name="late"), may_act


async def assert_is_too_late(late):
    task, may_act = late
    may_act.set()
    with pytest.raises(TransactionEnded, match="new_connections"):
        await task


@pytest.mark.parametrize("act", LATE, ids=lambda act: act.__name__)
async def test_task_that_outlives_its_block_is_told_so_and_writes_nothing(db, act):
    async with atomic():
        late = start_late(act)
        await Author.objects.acreate(name="in time")
    await assert_is_too_late(late)
    assert await names() == ["in time"]


@pytest.mark.parametrize("act", LATE, ids=lambda act: act.__name__)
async def test_task_that_outlives_a_nested_block_stays_out_of_the_outer_one(db, act):
    async with atomic():
        with contextlib.suppress(Failure):
            async with atomic():
                late = start_late(act)
                raise Failure
        await Author.objects.acreate(name="in time")
        await assert_is_too_late(late)
    assert await names() == ["in time"]


async def test_task_that_outlives_its_block_stays_out_of_its_parent_s_next_one(db):
    async with atomic():
        late = start_late()
    async with atomic():
        await Author.objects.acreate(name="in time")
        await assert_is_too_late(late)
    assert await names() == ["in time"]


async def test_task_that_outlives_its_block_stays_out_of_many_others(db):
    """
    They have the wrapper and the connection that its block had.
    """

    async def parent():
        async with atomic():
            return start_late(), connections["default"], connection.connection

    async def later(number):
        async with atomic():
            await Author.objects.acreate(name=f"{number}")
            return connections["default"], connection.connection

    late, *its_own = await asyncio.create_task(parent())
    for number in range(100):
        used = await asyncio.create_task(later(number))
        assert list(used) == its_own
    async with atomic():
        assert connection.connection is its_own[1]
        await Author.objects.acreate(name="100")
        await assert_is_too_late(late)
    assert await names() == [f"{number}" for number in range(101)]


async def test_task_that_outlives_its_block_can_have_connections_of_its_own(db):
    async def act():
        async with new_connections():
            await write()
            async with atomic():
                await write()

    async with atomic():
        task, may_act = start_late(act)
    may_act.set()
    await task
    assert await names() == ["late", "late"]


async def test_tasks_of_many_requests_leave_no_connection_behind(db):
    async def request(number):
        child = asyncio.create_task(read())
        await asyncio.gather(read(), read())
        async with atomic():
            grandchild = asyncio.create_task(asyncio.wait_for(read(), 60))
            await asyncio.gather(read(), read(), grandchild)
        await child

    await read()
    for _ in range(2):
        await asyncio.gather(*map(request, range(100)))
        s = statistics()
        assert (s.waiting, s.holders) == (0, ())
        assert s.idle == s.size <= s.max_size


# Tasks that leave a block open.


async def assert_next_is_clean(rows):
    """
    The next user of the only connection sees what is committed, and can write.
    """
    async with asyncio.timeout(PATIENCE):
        while statistics().holders:
            await asyncio.sleep(0)
        assert await names() == rows
        async with atomic():
            await Author.objects.acreate(name="next")
        assert await names() == [*rows, "next"]
    assert statistics().idle == statistics().size == 1


async def test_task_that_dies_in_an_open_block_is_rolled_back(db, caplog):
    async def die():
        await atomic().__aenter__()
        await Author.objects.acreate(name="lost")
        raise Failure

    with caplog.at_level(logging.WARNING, "django_evergreen"):
        with pytest.raises(Failure):
            await asyncio.create_task(die(), name="the careless one")
        await assert_next_is_clean([])
    assert "'the careless one'" in caplog.text


async def test_task_that_is_cancelled_in_an_open_block_is_rolled_back(db, caplog):
    is_in = asyncio.Event()

    async def die():
        await atomic().__aenter__()
        await Author.objects.acreate(name="lost")
        is_in.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(die(), name="the careless one")
    await is_in.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_next_is_clean([])


async def test_child_that_dies_in_an_open_nested_block_takes_nothing_along(db, caplog):
    async def die():
        await atomic().__aenter__()
        await Author.objects.acreate(name="lost")

    async with atomic():
        await Author.objects.acreate(name="before")
        await asyncio.create_task(die(), name="the careless one")
        await Author.objects.acreate(name="after")
    assert await names() == ["before", "after"]
    await assert_next_is_clean(["before", "after"])


async def test_child_of_a_task_that_dies_in_an_open_block_is_told_so(db, caplog):
    async def die():
        await atomic().__aenter__()
        await Author.objects.acreate(name="lost")
        return start_late()

    late = await asyncio.create_task(die(), name="the careless one")
    await assert_is_too_late(late)
    await assert_next_is_clean([])


async def rows_in_a_block():
    async with atomic():
        await Author.objects.acreate(name="lost")
        yield 1
        yield 2


async def test_generator_abandoned_in_a_block_is_rolled_back_as_its_task_ends(
    db, caplog
):
    async def abandon():
        async for _ in rows_in_a_block():
            break

    await asyncio.create_task(abandon())
    await assert_next_is_clean([])


async def test_generator_abandoned_in_a_block_is_rolled_back_as_it_is_collected(
    db, caplog
):
    async for _ in rows_in_a_block():
        break
    gc.collect()
    await assert_next_is_clean([])


def test_generator_abandoned_in_a_block_is_rolled_back_as_the_loop_ends(
    run, db, caplog
):
    kept = []

    async def abandon():
        kept.append(rows_in_a_block())
        async for _ in kept[0]:
            break

    run(abandon())
    run(assert_next_is_clean([]))
