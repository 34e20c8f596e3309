"""
The watchdog names what holds the event loop, and only that.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.test import override_settings

from django_evergreen.asgi import _watchdog as module
from django_evergreen.asgi._suspect import what_runs
from django_evergreen.asgi._watchdog import Watchdog
from django_evergreen.bridge import await_, run_sync

# Milliseconds. The long one is for tests in which nothing may be reported, on a busy
# machine too.
LIMIT, LONG_LIMIT = 20, 200

# Seconds.
DEADLINE = 20
LONG = 10 * LIMIT / 1000

# Keeps the GIL in every call.
C = ctypes.PyDLL(None)


class Reports(logging.Handler):
    """
    What the watchdog has logged so far.
    """

    def __init__(self):
        super().__init__()
        self.records = []
        self._new = threading.Condition()

    def emit(self, record):
        with self._new:
            self.records.append(record)
            self._new.notify_all()

    def texts(self, level):
        return [each.getMessage() for each in self.records if each.levelno == level]

    @property
    def warnings(self):
        return self.texts(logging.WARNING)

    @property
    def ends(self):
        return self.texts(logging.INFO)

    def hold_until(self, level, count=1):
        """
        Block the calling thread until there are so many lines of a level.
        """

        def is_there():
            return len(self.texts(level)) >= count

        with self._new:
            assert self._new.wait_for(is_there, DEADLINE), self.records

    def hold_until_warned(self, count=1):
        self.hold_until(logging.WARNING, count)

    async def has_ended(self, count=1):
        await asyncio.to_thread(self.hold_until, logging.INFO, count)


@pytest.fixture
def reports():
    logger = logging.getLogger("django_evergreen.watchdog")
    handler = Reports()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def limit():
    with override_settings(EVERGREEN={"WATCHDOG_MS": LIMIT}):
        yield


@pytest.fixture
def long_limit():
    with override_settings(EVERGREEN={"WATCHDOG_MS": LONG_LIMIT}):
        yield


def naming(line="GET /books/1/"):
    return Watchdog.of_loop().naming(line)


def hold(seconds=LONG):
    threading.Event().wait(seconds)


async def hold_a_loop():
    hold()


def threads():
    name = "django-evergreen watchdog"
    return [each for each in threading.enumerate() if each.name.startswith(name)]


async def rests(watchdog):
    async with asyncio.timeout(DEADLINE):
        while "resting" not in repr(watchdog):
            await asyncio.sleep(0)


async def is_answered(watchdog, times):
    """
    Go on until the loop has answered the watchdog so often.
    """
    answers = set()
    async with asyncio.timeout(DEADLINE):
        while len(answers) < times:
            await asyncio.sleep(0)
            answers.add(watchdog._answered_at)


# What is reported


async def test_what_holds_the_loop_is_named_with_its_request_and_stack(limit, reports):
    with naming("GET /books/1/"):
        reports.hold_until_warned()
    await reports.has_ended()
    first, *_, last = reports.warnings[0].splitlines()
    place = rf"{re.escape(__file__)}:\d+ in Reports\.hold_until\."
    assert re.match(
        rf"GET /books/1/ has held the event loop for 0\.\d\d s, at {place} ", first
    )
    assert "self._new.wait_for(is_there" in reports.warnings[0]
    assert "waiter.acquire" in last
    assert re.fullmatch(
        r"GET /books/1/ gave the event loop back after \d+\.\d\d s\.", reports.ends[0]
    )


async def test_stack_is_without_the_machinery_of_the_loop(limit, reports):
    with naming():
        reports.hold_until_warned()
    _, title, first, *_ = reports.warnings[0].splitlines()
    assert title.startswith("The stack of task 'Task-")
    assert first.endswith("in test_stack_is_without_the_machinery_of_the_loop")


async def test_record_has_what_is_named(limit, reports):
    with naming("GET /books/1/"):
        reports.hold_until_warned()
    await reports.has_ended()
    for record in reports.records:
        assert record.evergreen_request == "GET /books/1/"
        assert record.evergreen_task == asyncio.current_task().get_name()
        assert record.evergreen_seconds >= LIMIT / 1000
        assert __file__ in record.evergreen_place


async def test_sync_code_in_the_bridge_is_named_with_what_awaits_it(limit, reports):
    def blocking_view():
        reports.hold_until_warned()

    async def view():
        await run_sync(blocking_view)

    with naming():
        await view()
    names = re.findall(r'test_watchdog\.py", line \d+, in (\w+)', reports.warnings[0])
    assert names[1:-1] == ["view", "blocking_view", "hold_until_warned"]
    assert "_greenlets.py" not in reports.warnings[0]


async def test_coroutine_awaited_by_the_bridge_is_named(limit, reports):
    async def async_view():
        await asyncio.sleep(0)
        reports.hold_until_warned()

    def middleware():
        await_(async_view())

    with naming():
        await run_sync(middleware)
    assert "in async_view\n" in reports.warnings[0]


async def test_task_started_by_a_request_is_named_by_it(limit, reports):
    async def part():
        await asyncio.sleep(0)
        reports.hold_until_warned()

    with naming("GET /dashboard/"):
        await asyncio.gather(part(), asyncio.sleep(0))
    assert reports.warnings[0].startswith("GET /dashboard/ has held")


async def test_request_is_named_that_holds_the_loop_and_no_other(limit, reports):
    innocent = asyncio.Event()

    async def wait():
        with naming("GET /innocent/"):
            await innocent.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(wait())
        await asyncio.sleep(0)
        with naming("GET /guilty/"):
            with naming("GET /guilty/part/"):
                pass
            reports.hold_until_warned()
        innocent.set()
    assert reports.warnings[0].startswith("GET /guilty/ has held")


async def test_task_without_a_request_is_named_by_its_name(limit, reports):
    async def import_feeds():
        reports.hold_until_warned()

    task = asyncio.create_task(import_feeds(), name="feeds")
    with naming():
        await task
    assert reports.warnings[0].startswith("Task 'feeds' has held the event loop")


async def test_callback_without_a_task_is_reported(limit, reports):
    with naming():
        asyncio.get_running_loop().call_soon(reports.hold_until_warned)
        await reports.has_ended()
    assert reports.warnings[0].startswith("A callback has held the event loop")
    assert "in hold_until_warned\n" in reports.warnings[0]


async def test_code_that_keeps_the_gil_is_reported_afterwards(limit, reports):
    """
    Nobody can look meanwhile, so the report says that its stack is a guess.
    """
    with naming():
        C.usleep(int(LONG * 1e6))
        reports.hold_until_warned()
    await reports.has_ended()
    (warning,) = reports.warnings
    assert warning.startswith("GET /books/1/ seems to have held the event loop for 0.")
    assert "The stack of that time is unknown; just afterwards it was at " in warning
    assert reports.records[0].evergreen_seconds > LONG / 2


async def test_held_once_is_reported_once(limit, reports):
    with naming():
        reports.hold_until_warned()
        hold()
    await reports.has_ended()
    assert len(reports.warnings) == len(reports.ends) == 1
    assert reports.records[-1].evergreen_seconds > LONG


async def test_held_twice_is_reported_twice(limit, reports):
    with naming():
        reports.hold_until_warned(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reports.hold_until_warned(2)
    await reports.has_ended(2)
    assert len(reports.warnings) == len(reports.ends) == 2


async def test_next_task_in_the_same_turn_is_reported_by_itself(limit, reports):
    async def part(number):
        reports.hold_until_warned(number)

    with naming():
        await asyncio.gather(part(1), part(2))
    await reports.has_ended(2)
    assert [each.levelname for each in reports.records] == ["WARNING", "INFO"] * 2


# What is not reported


async def test_tasks_that_suspend_are_not_reported(long_limit, reports):
    watchdog = Watchdog.of_loop()
    is_over = asyncio.Event()

    async def request(number):
        with watchdog.naming(f"GET /{number}/"):
            await run_sync(lambda: await_(is_over.wait()))

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(request(number))
        await is_answered(watchdog, 3)
        is_over.set()
    assert reports.records == []


async def test_many_short_steps_in_one_turn_are_not_reported(long_limit, reports):
    async def step():
        hold(0.01)

    with naming():
        await asyncio.gather(*(step() for _ in range(3 * LONG_LIMIT // 10)))
        await is_answered(Watchdog.of_loop(), 2)
    assert reports.records == []


async def test_loop_that_waits_for_events_runs_nothing():
    """
    It would be suspected when another thread has kept the GIL.
    """
    loop, thread_id = asyncio.get_running_loop(), threading.get_ident()

    def look():
        deadline = time.monotonic() + DEADLINE
        while what_runs(loop, thread_id) != (None, []):
            assert time.monotonic() < deadline

    await asyncio.to_thread(look)


def test_loop_that_is_stopped_is_not_reported(limit, reports, run, loop_factory):
    async def start():
        started = asyncio.Event()

        async def request():
            with naming():
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(request())
        await started.wait()
        return task

    with asyncio.Runner(debug=False, loop_factory=loop_factory) as runner:
        task = runner.run(start())
        hold()
        run(hold_a_loop())
        assert not task.done()
    assert reports.records == []


async def test_without_a_request_in_flight_it_rests_and_looks_at_nothing(
    limit, reports
):
    watchdog = Watchdog.of_loop()
    with watchdog.naming("GET /"):
        pass
    await rests(watchdog)
    answered_at = watchdog._answered_at
    hold()
    await asyncio.sleep(0)
    assert repr(watchdog).endswith("resting, in flight: 0>")
    assert watchdog._answered_at == answered_at
    assert reports.records == []


async def test_request_after_a_rest_is_watched(limit, reports):
    for number in (1, 2):
        await rests(Watchdog.of_loop())
        with naming():
            reports.hold_until_warned(number)
        await reports.has_ended(number)


# When there is one


async def test_without_debug_there_is_none():
    assert Watchdog.of_loop() is None
    assert threads() == []


@override_settings(DEBUG=True, EVERGREEN={"WATCHDOG_MS": 0})
async def test_switched_off_there_is_none_in_debug():
    assert Watchdog.of_loop() is None
    assert threads() == []


async def test_in_debug_there_is_one_of_100_ms():
    with override_settings(DEBUG=True):
        assert Watchdog.of_loop()._limit == 0.1
        assert len(threads()) == 1


async def test_change_of_the_setting_takes_effect_at_once():
    with override_settings(EVERGREEN={"WATCHDOG_MS": 40}):
        first = Watchdog.of_loop()
        assert Watchdog.of_loop() is first
        assert first._limit == 0.04
        with override_settings(EVERGREEN={"WATCHDOG_MS": 50}):
            assert Watchdog.of_loop()._limit == 0.05
            assert "closed" in repr(first)
            assert len(threads()) == 1
    assert Watchdog.of_loop() is None
    assert threads() == []


async def use():
    watchdog = Watchdog.of_loop()
    assert Watchdog.of_loop() is watchdog
    with watchdog.naming("GET /"):
        await asyncio.sleep(0)
    return watchdog


def test_thread_ends_with_its_loop(limit, run):
    watchdogs = [run(use()) for _ in range(3)]
    assert len(set(watchdogs)) == 3
    assert threads() == []
    assert module._watchdogs == {}


def test_thread_of_a_loop_that_was_only_closed_ends_with_the_next_loop(
    limit, run, loop_factory
):
    loop = loop_factory()
    first = loop.run_until_complete(use())
    loop.close()
    run(use())
    assert "closed" in repr(first)
    assert threads() == []


async def test_ending_loop_starts_none(limit):
    await use()
    await asyncio.get_running_loop().shutdown_asyncgens()
    assert Watchdog.of_loop() is None
    assert threads() == []


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_child_of_a_fork_has_its_own(limit, reports, run, loop_factory):
    async def report():
        with naming():
            reports.hold_until_warned()

    with asyncio.Runner(debug=False, loop_factory=loop_factory) as runner:
        parent_s = runner.run(use())
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                assert module._watchdogs == {}
                run(report())
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert runner.run(use()) is parent_s
    assert reports.records == []


def test_loop_ends_also_while_a_log_handler_blocks(limit, reports, run, monkeypatch):
    class Blocking(logging.Handler):
        def emit(self, record):
            assert is_over.wait(DEADLINE)

    async def main():
        with naming():
            reports.hold_until_warned()
        return Watchdog.of_loop()

    is_over = threading.Event()
    monkeypatch.setattr(module, "JOIN_TIMEOUT", 0.05)
    logger = logging.getLogger("django_evergreen.watchdog")
    logger.addHandler(blocking := Blocking())
    try:
        watchdog = run(main())
    finally:
        is_over.set()
        logger.removeHandler(blocking)
    watchdog._thread.join(DEADLINE)
    assert threads() == []


EXITING = """
import asyncio, logging, sys, threading
from django.conf import settings
settings.configure(EVERGREEN={"WATCHDOG_MS": 5})
from django_evergreen.asgi._watchdog import Watchdog

class Handler(logging.Handler):
    def emit(self, record):
        is_reported.set()

is_reported = threading.Event()
logging.getLogger("django_evergreen.watchdog").addHandler(Handler())

async def main():
    with Watchdog.of_loop().naming("GET /"):
        assert is_reported.wait(20)
        sys.exit(3)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
"""


def test_process_exits_at_once_without_an_end_of_its_loop():
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    exited = subprocess.run(
        [sys.executable, "-c", EXITING],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (exited.returncode, exited.stderr) == (3, "")


async def test_reported_frames_and_tasks_are_not_kept(limit, reports):
    class Local:
        pass

    def holder():
        local = Local()
        reports.hold_until_warned()
        return id(local)

    with naming():
        holder()
    await reports.has_ended()
    assert not [each for each in gc.get_objects() if type(each) is Local]
