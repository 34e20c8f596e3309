"""
What a generated test starts without waiting for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from functools import partial

from asgiref.sync import sync_to_async
from django.db import DatabaseError, transaction

from django_evergreen.bridge import run_sync
from tests.app.models import Author
from tests.test.scenarios.leaks import query_endlessly

# The rows of what nobody waits for. No step looks at them.
NAME = "background"

# Set when the tests are over, for threads that nobody can stop.
may_end = threading.Event()

kept = []
late = []


class Unnoticed(Exception):
    """
    Raised where nobody catches it.
    """


async def write():
    # In a transaction that was broken meanwhile, perhaps.
    with contextlib.suppress(DatabaseError):
        await Author.objects.acreate(name=NAME)


async def for_ever():
    await asyncio.Event().wait()


async def write_often():
    for _ in range(3):
        await write()
        await asyncio.sleep(0)


async def start_another():
    await write()
    start(write_often())


async def fail():
    raise Unnoticed


async def write_at_the_end():
    try:
        await for_ever()
    finally:
        await write()


async def start_another_at_the_end():
    try:
        await for_ever()
    finally:
        start(write_at_the_end())


async def hold_transaction(wait=for_ever):
    with contextlib.suppress(DatabaseError):
        async with transaction.atomic():
            await Author.objects.acreate(name=NAME)
            await wait()
    await wait()


async def query():
    with contextlib.suppress(DatabaseError):
        await run_sync(query_endlessly)
    await for_ever()


async def query_in_transaction():
    # What is broken off breaks the transaction that it's in.
    async with transaction.atomic():
        await query()


async def be_stubborn():
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await for_ever()


async def hold_transaction_stubbornly(holds=None):
    async def wait():
        if holds is not None:
            holds.set()
        await be_stubborn()

    await hold_transaction(wait)


async def iterate():
    yield 1
    yield 2


async def stop_iterating():
    kept.append(generator := iterate())
    await anext(generator)


def write_late(begin):
    """
    Wait in a thread for the end of all tests, and write.
    """
    begin()
    # The statement is cancelled, perhaps.
    with contextlib.suppress(BaseException):
        Author.objects.count()
    may_end.wait(60)
    try:
        Author.objects.create(name=NAME)
    except DatabaseError as error:
        late.append(type(error).__name__)
    else:
        late.append("written")


async def start_in_thread(call):
    """
    Return when the thread is where it waits: one that has not begun is cancelled.
    """
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    start(call(lambda: loop.call_soon_threadsafe(begun.set)))
    await begun.wait()


def start(coroutine):
    kept.append(asyncio.create_task(coroutine))


def start_thread():
    thread = threading.Thread(target=may_end.wait, args=(60,), daemon=True)
    kept.append(thread)
    thread.start()


def be_late():
    pass


def set_timer(seconds):
    asyncio.get_running_loop().call_later(seconds, be_late)


# By what becomes of them. A "last" one disturbs what the test does after it.
TASKS = {
    "ended": {"writes": write_often, "starts another": start_another},
    "cancelled": {
        "sleeps": for_ever,
        "writes at the end": write_at_the_end,
        "starts another at the end": start_another_at_the_end,
        "last: holds transaction": hold_transaction,
        "last: queries": query,
    },
    "abandoned": {
        "sleeps": for_ever,
        "is stubborn": be_stubborn,
    },
}
OTHERS = {
    "ended": ["fails", "is never awaited", "timer due soon"],
    "cancelled": ["fails", "is never awaited", "timer", "generator"],
    "abandoned": [
        "fails",
        "is never awaited",
        "thread",
        "last: in thread",
        "last: in main thread",
        "last: holds transaction stubbornly",
    ],
}
KINDS = {fate: [*TASKS[fate], *OTHERS[fate]] for fate in TASKS}


async def leave(step, fate):
    """
    Start it.
    """
    match step.kind:
        case "fails":
            start(fail())
        case "is never awaited":
            Author.objects.acreate(name=NAME)
        case "timer":
            set_timer(3600)
        case "timer due soon":
            set_timer(0.001)
        case "generator":
            await stop_iterating()
        case "thread":
            start_thread()
        case "last: in thread":
            await start_in_thread(partial(asyncio.to_thread, write_late))
        case "last: in main thread":
            await start_in_thread(sync_to_async(write_late))
        case "last: holds transaction stubbornly":
            # Before that, it could be cancelled.
            start(hold_transaction_stubbornly(holds := asyncio.Event()))
            await holds.wait()
        case kind:
            start(TASKS[fate][kind]())
    if step.is_begun:
        await asyncio.sleep(0)


def verdict(step, program):
    """
    Return what the test has to fail for: "error", "leftover" or None.
    """
    if step.kind == "fails":
        return "error"
    if step.kind == "is never awaited":
        return "leftover"
    is_forgiven = program.leftovers != "fail" and not is_abandoned(step)
    if program.fate == "ended" or is_forgiven:
        return None
    return "leftover"


def leftovers_of(step, fate):
    """
    Return the kinds of what has to be found.
    """
    if step.kind == "is never awaited":
        return ["coroutine"]
    if step.kind == "fails" or fate == "ended":
        return []
    return FOUND.get(step.kind, ["task"])


FOUND = {
    "timer": ["timer"],
    "generator": ["async generator"],
    "thread": ["thread"],
    # The second one by the first one's "finally".
    "starts another at the end": ["task", "task"],
    # And the task that waits for it.
    "last: in thread": ["task", "thread"],
    "last: in main thread": ["task", "thread"],
}


def is_abandoned(step):
    return "stubborn" in step.kind or "thread" in step.kind


# What a test does until it is timed out.
HANGS = {
    "sleeps": for_ever,
    "holds transaction": hold_transaction,
    "queries": query_in_transaction,
    "is stubborn": be_stubborn,
    "holds transaction stubbornly": hold_transaction_stubbornly,
}
