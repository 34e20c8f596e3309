"""
Hubs: one for each event loop, ended with it.
"""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from django_evergreen import NotInBridge
from django_evergreen.bridge import run_sync
from django_evergreen.bridge._loops import READ, WRITE, WatchClosed, current_hub


async def test_hub_belongs_to_the_running_loop():
    assert current_hub() is current_hub()
    assert current_hub().loop is asyncio.get_running_loop()


def test_hub_closes_with_its_loop(run):
    events = []

    async def main():
        current_hub().on_close(lambda: events.append("closed"))
        return current_hub()

    first = run(main())
    assert events == ["closed"]
    assert run(main()) is not first


def test_closer_that_is_cancelled_does_not_keep_others_from_closing(run):
    events = []

    def cancelled():
        raise asyncio.CancelledError

    async def main():
        for closer in (lambda: events.append("closed"), cancelled):
            current_hub().on_close(closer)

    run(main())
    assert events == ["closed"]


def test_closer_of_a_closed_loop_may_ask_for_the_hub_of_the_new_one():
    hubs = []

    async def note_hub():
        hubs.append(current_hub())

    loop = asyncio.new_event_loop()
    loop.call_soon(lambda: current_hub().on_close(lambda: hubs.append(current_hub())))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    asyncio.run(note_hub())
    assert len(hubs) == 2
    assert hubs[0] is hubs[1]


def test_closer_that_fails_does_not_keep_others_from_closing(run, caplog):
    events = []

    def fail():
        raise ValueError("while closing")

    async def main():
        for closer in (lambda: events.append("closed"), fail):
            current_hub().on_close(closer)

    run(main())
    assert events == ["closed"]
    assert "while closing" in caplog.text


def test_hub_s_own_tasks_end_before_their_loop(run):
    events = []

    async def clean_up():
        await asyncio.sleep(0)
        events.append("cleaned up")

    async def main():
        loop = asyncio.get_running_loop()
        current_hub().spawn(clean_up())
        # Not as asyncio.run does, which cancels all tasks first.
        await loop.shutdown_asyncgens()
        assert events == ["cleaned up"]

    run(main())


def test_hub_of_a_loop_closed_without_ceremony_is_swept(loop_factory):
    events = []

    async def main():
        current_hub().on_close(lambda: events.append("closed"))

    loop = loop_factory()
    loop.run_until_complete(main())
    loop.close()
    assert events == []
    asyncio.run(asyncio.sleep(0))

    async def use():
        current_hub()

    asyncio.run(use())
    assert events == ["closed"]


def test_waiting_without_a_loop_is_refused():
    with pytest.raises(NotInBridge, match=r"asyncio\.run"):
        current_hub().new_waiter()


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    left.setblocking(False)
    yield left, right
    left.close()
    right.close()


async def test_watch_waits_for_a_descriptor(pair):
    left, right = pair
    watch = current_hub().watch(left.fileno())
    task = asyncio.create_task(run_sync(watch.wait, READ))
    await asyncio.sleep(0)
    right.send(b"x")
    assert await task == READ
    assert await run_sync(watch.wait, READ | WRITE) in (READ, WRITE)
    assert await run_sync(watch.wait, WRITE) == WRITE
    watch.close()


async def test_watch_gives_up_after_its_timeout(pair):
    watch = current_hub().watch(pair[0].fileno())
    assert await run_sync(lambda: watch.wait(READ, timeout=0.01)) == 0
    watch.close()


async def test_watch_notices_data_that_nobody_waits_for(pair):
    left, right = pair
    watch = current_hub().watch(left.fileno())
    right.send(b"x")
    await run_sync(watch.wait, READ)
    left.recv(1)
    assert not watch.suspect
    right.close()
    while not watch.suspect:
        await asyncio.sleep(0)
    watch.close()


@pytest.mark.parametrize("shield", [False, True])
async def test_closing_a_watch_raises_to_who_waits(pair, shield):
    watch = current_hub().watch(pair[0].fileno())
    task = asyncio.create_task(run_sync(watch.wait, READ, shield=shield))
    await asyncio.sleep(0)
    assert watch.is_waiting()
    watch.close()
    with pytest.raises(WatchClosed):
        await task
    assert not watch.is_waiting()


async def test_wait_is_cancelled(pair):
    watch = current_hub().watch(pair[0].fileno())
    task = asyncio.create_task(run_sync(watch.wait, READ))
    await asyncio.sleep(0)
    task.cancel("its message")
    with pytest.raises(asyncio.CancelledError, match="its message"):
        await task
    watch.close()


async def test_wait_cancelled_in_the_tick_it_ends(pair):
    left, right = pair
    watch = current_hub().watch(left.fileno())
    task = asyncio.create_task(run_sync(watch.wait, READ))
    await asyncio.sleep(0)
    right.send(b"x")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await run_sync(watch.wait, READ) == READ
    watch.close()


async def test_shielded_wait_absorbs_cancellation(pair):
    left, right = pair
    watch = current_hub().watch(left.fileno())
    task = asyncio.create_task(run_sync(lambda: watch.wait(READ, shield=True)))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    right.send(b"x")
    assert await task == READ
    watch.close()


def test_child_of_a_fork_forgets_its_parent_s_hubs(run):
    async def main():
        parent_hub = current_hub()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if current_hub() is not parent_hub else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    run(main())
