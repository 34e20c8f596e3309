"""
Takes steps: in sync code, that of the sync twin and what an async test runs in the
bridge or in threads; and in async code.
"""

from __future__ import annotations

import asyncio
import contextlib

from asgiref.sync import async_to_sync
from django.db import transaction

from django_evergreen.db import aon_commit
from tests.app.models import Author, Tag

from .elsewhere import STARTS, SWITCHES, ask
from .leftovers import leave, leftovers_of, verdict
from .lines import ANY_NUMBER, Undo
from .programs import (
    Ask,
    Atomic,
    Broken,
    Capture,
    Change,
    CleanUp,
    Count,
    Delete,
    Enter,
    Expect,
    Fail,
    Leave,
    OnCommit,
    Parallel,
    Read,
    Refused,
    Request,
    Rest,
    Sub,
    Switch,
    Timeout,
    Write,
)

# Seconds for what takes no time.
PATIENCE = 60


# In sync code.


def take_steps(line, steps):
    for number, step in enumerate(steps):
        here = line.at(number)
        here.take(step)
        take_step(here, step)


def take_step(line, step):
    match step:
        case Write():
            Author.objects.create(name=line.place)
        case Read():
            line.note(list(line.names()))
        case Delete():
            line.query().delete()
        case Expect(rows):
            line.expect(rows, line.query().count())
        case Fail(how):
            line.fail(how)
        case Refused():
            with line.undone(), transaction.atomic():
                violate()
        case Broken():
            with line.undone():
                violate()
        case OnCommit():
            transaction.on_commit(lambda: committed(line))
        case Change():
            line.change()
        case Ask():
            line.note(line.query().count())
        case Request(path):
            # The twin has no loop, and asks no async view to make one.
            path = "/sync/" if line.run.is_twin else path
            response = line.owner.client.get(path, of_request(line))
            line.note((response.status_code, response.content))
        case Leave():
            line.owner.expected.append(verdict(step, line.program))
            line.run.left.update(leftovers_of(step, line.program.fate))
        case Rest():
            pass
        case _:
            take_nested(line, step)


def take_nested(line, step):
    match step:
        case Atomic(steps, end):
            with line.undone(), transaction.atomic():
                take_steps(line, steps)
                leave_block(end)
                if end == "refused":
                    violate()
        case Sub(steps):
            with line.owner.subTest(place=line.place):
                take_steps(line, steps)
        case Count(steps):
            with line.owner.assertNumQueries(ANY_NUMBER) as context:
                take_steps(line, steps)
            line.note(len(context.captured_queries))
        case Capture(steps, execute):
            capture = line.owner.captureOnCommitCallbacks
            with capture(execute=execute) as callbacks:
                take_steps(line, steps)
            line.note(len(callbacks))
        case Switch(steps, "await") if not line.run.is_twin:
            async_to_sync(atake_steps)(line, steps)
        case Switch(steps) | Timeout(steps):
            take_steps(line, steps)
        case Parallel(branches):
            errors = {}
            for inner, steps in zip(line.branches(len(branches)), branches):
                with inner.caught(errors):
                    take_steps(inner, steps)
            raise_first(errors)
        case CleanUp():
            add_cleanup(line, step)
        case Enter(steps):
            enter = "enterClassContext" if line.of_class else "enterContext"
            getattr(line.owner, enter)(entered(line, steps))


def violate():
    for _ in range(2):
        Tag.objects.create(name="taken")


def committed(line):
    line.note("committed")
    Author.objects.create(name=line.place)


@contextlib.contextmanager
def entered(line, steps):
    line.note("entered")
    yield
    take_steps(line, steps)


# In async code.


async def atake_steps(line, steps):
    for number, step in enumerate(steps):
        here = line.at(number)
        here.take(step)
        await atake_step(here, step)


async def atake_step(line, step):
    match step:
        case Write():
            await Author.objects.acreate(name=line.place)
        case Read():
            line.note([name async for name in line.names()])
        case Delete():
            await line.query().adelete()
        case Expect(rows):
            line.expect(rows, await line.query().acount())
        case Fail(how):
            line.fail(how)
        case Refused():
            with line.undone():
                async with transaction.atomic():
                    await aviolate()
        case Broken():
            with line.undone():
                await aviolate()
        case OnCommit(is_async):
            await aon_commit(on_commit(line, is_async))
        case Change():
            line.change()
        case Ask():
            line.note(await ask(line))
        case Request(path):
            response = await line.owner.async_client.get(path, of_request(line))
            line.note((response.status_code, response.content))
        case Leave():
            await leave(step, line.program.fate)
        case Rest():
            await asyncio.sleep(0)
        case _:
            await atake_nested(line, step)


async def atake_nested(line, step):
    match step:
        case Atomic(steps, end):
            with line.undone():
                async with transaction.atomic():
                    await atake_steps(line, steps)
                    leave_block(end)
                    if end == "refused":
                        await aviolate()
        case Sub(steps):
            with line.owner.subTest(place=line.place):
                await atake_steps(line, steps)
        case Count(steps):
            async with line.owner.assertNumQueries(ANY_NUMBER) as context:
                await atake_steps(line, steps)
            line.note(len(context.captured_queries))
        case Capture(steps, execute):
            capture = line.owner.captureOnCommitCallbacks
            async with capture(execute=execute) as callbacks:
                await atake_steps(line, steps)
            line.note(len(callbacks))
        case Switch(steps, to):
            await SWITCHES[to](take_steps, line, steps)
        case Timeout(steps):
            async with asyncio.timeout(PATIENCE):
                await atake_steps(line, steps)
        case Parallel(branches, by):
            errors = {}
            lines = line.branches(len(branches))
            await STARTS[by](
                atake_branch(inner, steps, errors)
                for inner, steps in zip(lines, branches)
            )
            raise_first(dict(sorted(errors.items())))
        case CleanUp():
            add_cleanup(line, step)
        case Enter(steps):
            enter = "enterAsyncClassContext" if line.of_class else "enterAsyncContext"
            await getattr(line.owner, enter)(aentered(line, steps))


async def aviolate():
    for _ in range(2):
        await Tag.objects.acreate(name="taken")


async def acommitted(line):
    line.note("committed")
    await Author.objects.acreate(name=line.place)


@contextlib.asynccontextmanager
async def aentered(line, steps):
    line.note("entered")
    yield
    await atake_steps(line, steps)


async def atake_branch(line, steps, errors):
    with line.caught(errors):
        await atake_steps(line, steps)


# In both.


def leave_block(end):
    if end == "raise":
        raise Undo
    if end == "rollback":
        transaction.set_rollback(True)


def raise_first(errors):
    for error in errors.values():
        raise error


def of_request(line):
    return {"name": line.place, "rows": line.rows}


def on_commit(line, is_async):
    if is_async:

        async def callback():
            await acommitted(line)

        return callback
    return lambda: committed(line)


def add_cleanup(line, step):
    is_async = step.is_async and not line.run.is_twin
    add = "add{}{}Cleanup".format("Async" * is_async, "Class" * line.of_class)
    take = atake_steps if is_async else take_steps
    getattr(line.owner, add)(take, line, step.steps)
