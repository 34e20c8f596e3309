"""
``run_sync``, ``await_``, ``in_bridge``, ``no_switch``.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import traceback

import pytest

from django_evergreen import NotInBridge, SwitchForbidden
from django_evergreen.bridge import await_, in_bridge, no_switch, run_sync
from django_evergreen.bridge._greenlets import _resting
from django_evergreen.bridge._loops import current_hub

variable = contextvars.ContextVar("variable", default="unset")


async def echo(value):
    await asyncio.sleep(0)
    return value


async def fail(error):
    await asyncio.sleep(0)
    raise error


async def test_run_sync_returns_what_the_function_returns():
    assert await run_sync(lambda a, b: (a, b), 1, b=2) == (1, 2)


async def test_await_returns_the_result_to_sync_code():
    assert await run_sync(lambda: await_(echo(5)) + 1) == 6


async def test_sync_and_async_nest_to_any_depth():
    def down(depth):
        if depth == 0:
            return await_(echo(asyncio.current_task()))
        return await_(run_sync(down, depth - 1))

    assert await run_sync(down, 50) is asyncio.current_task()


async def test_sync_code_runs_in_the_task_and_thread_of_its_caller():
    where = await run_sync(lambda: (asyncio.current_task(), threading.get_ident()))
    assert where == (asyncio.current_task(), threading.get_ident())


async def test_other_tasks_run_while_sync_code_waits():
    events = []
    may_go_on = asyncio.Event()

    def wait():
        events.append("waits")
        await_(may_go_on.wait())
        events.append("goes on")

    async def other():
        events.append("other")
        may_go_on.set()

    await asyncio.gather(run_sync(wait), other())
    assert events == ["waits", "other", "goes on"]


async def test_bridge_is_not_entered_by_async_code():
    assert not in_bridge()
    assert await run_sync(in_bridge)

    async def bare():
        return in_bridge()

    assert await run_sync(lambda: await_(bare())) is False


async def test_contextvars_flow_both_ways():
    variable.set("by the caller")

    async def change():
        assert variable.get() == "by the function"
        variable.set("by the coroutine")

    def function():
        assert variable.get() == "by the caller"
        variable.set("by the function")
        await_(change())
        assert variable.get() == "by the coroutine"

    await run_sync(function)
    assert variable.get() == "by the coroutine"


async def test_contextvars_do_not_leak_between_tasks():
    def function(value):
        variable.set(value)
        await_(asyncio.sleep(0))
        return variable.get()

    values = [f"task {i}" for i in range(20)]
    seen = await asyncio.gather(*(run_sync(function, value) for value in values))
    assert seen == values
    assert variable.get() == "unset"


async def test_exception_of_the_function_keeps_its_traceback():
    def inner():
        raise ValueError("inner")

    def outer():
        inner()

    with pytest.raises(ValueError, match="inner") as caught:
        await run_sync(outer)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-2:] == ["outer", "inner"]
    assert "_perform" not in names


async def test_exception_of_the_awaitable_keeps_its_traceback():
    with pytest.raises(ValueError, match="boom") as caught:
        await run_sync(lambda: await_(fail(ValueError("boom"))))
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "fail"
    assert "<lambda>" in names


async def test_exceptions_keep_cause_and_context():
    def function():
        try:
            raise KeyError("first")
        except KeyError:
            await_(fail(ValueError("second")))

    with pytest.raises(ValueError, match="second") as caught:
        await run_sync(function)
    assert isinstance(caught.value.__context__, KeyError)

    cause = KeyError("cause")

    def from_cause():
        raise ValueError from cause

    with pytest.raises(ValueError) as caught:
        await run_sync(from_cause)
    assert caught.value.__cause__ is cause


async def test_sync_code_sees_the_exception_that_its_caller_handles():
    error = ValueError("handled")
    try:
        raise error
    except ValueError:
        before = error.__traceback__
        assert await run_sync(sys.exception) is error
        assert error.__traceback__ is before
    assert await run_sync(sys.exception) is None


async def test_bare_raise_re_raises_after_a_switch():
    def function():
        try:
            raise KeyError("first")
        except KeyError:
            await_(echo(None))
            raise

    with pytest.raises(KeyError, match="first"):
        await run_sync(function)


async def test_greenlet_exit_is_raised_like_any_exception():
    from greenlet import GreenletExit

    def function():
        raise GreenletExit

    with pytest.raises(GreenletExit):
        await run_sync(function)


async def test_cancellation_is_raised_at_the_switch_point():
    events = []
    started = asyncio.Event()

    def function():
        try:
            try:
                started.set()
                await_(asyncio.Event().wait())
            finally:
                events.append(("inner", asyncio.current_task().get_name()))
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        finally:
            await_(echo(None))
            events.append("outer")

    task = asyncio.create_task(run_sync(function), name="the task")
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == [("inner", "the task"), "cancelled", "outer"]


async def test_cancellation_can_be_absorbed_by_sync_code():
    started = asyncio.Event()

    def function():
        try:
            started.set()
            await_(asyncio.Event().wait())
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()
            return "absorbed"

    task = asyncio.create_task(run_sync(function))
    await started.wait()
    task.cancel()
    assert await task == "absorbed"


async def test_timeout_reaches_sync_code():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_sync(lambda: await_(asyncio.Event().wait()))
    assert asyncio.current_task().cancelling() == 0


async def test_await_outside_the_bridge_names_the_remedy():
    with pytest.raises(NotInBridge, match=r"await run_sync\(function"):
        await_(echo(1))


def test_await_without_a_loop_names_the_remedy():
    with pytest.raises(NotInBridge, match="async_to_sync"):
        await_(echo(1))


async def test_no_switch_refuses_a_suspension_and_says_where():
    def function():
        with no_switch():
            await_(echo(1))

    with pytest.raises(SwitchForbidden, match=r"test_switch\.py:\d+"):
        await run_sync(function)


async def test_no_switch_ends_with_its_block():
    def function():
        with no_switch():
            with no_switch():
                pass
            with pytest.raises(SwitchForbidden):
                await_(echo(1))
        return await_(echo(1))

    assert await run_sync(function) == 1


def test_no_switch_outside_the_bridge_does_nothing():
    with no_switch():
        assert not in_bridge()


async def test_closing_the_driver_unwinds_sync_code():
    events = []

    def function():
        try:
            await_(asyncio.Event().wait())
        finally:
            events.append("first")
            try:
                await_(echo(None))
            finally:
                events.append("second")

    driver = run_sync(function)
    driver.send(None)
    driver.close()
    assert events == ["first", "second"]
    assert not current_hub().suspended


async def test_error_while_closing_is_raised_to_the_closer():
    def function():
        try:
            await_(asyncio.Event().wait())
        finally:
            raise ValueError("while closing")

    driver = run_sync(function)
    driver.send(None)
    with pytest.raises(ValueError, match="while closing"):
        driver.close()


def test_loop_that_is_closed_with_suspended_jobs_unwinds_them(loop_factory):
    events = []

    def function():
        try:
            await_(asyncio.Event().wait())
        finally:
            events.append("unwound")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda *args: None)
        loose = asyncio.create_task(run_sync(function))
        await asyncio.sleep(0)
        return loose

    loop = loop_factory()
    task = loop.run_until_complete(main())
    loop.close()
    assert events == []

    async def next_loop():
        await run_sync(lambda: None)

    asyncio.run(next_loop())
    assert events == ["unwound"]
    # asyncio warns of a pending task that is destroyed; this one is meant to be.
    task._log_destroy_pending = False
    del task
    gc.collect()


async def test_suspended_jobs_are_registered_until_they_are_over():
    may_go_on = asyncio.Event()
    task = asyncio.create_task(run_sync(lambda: await_(may_go_on.wait())))
    await asyncio.sleep(0)
    assert len(current_hub().suspended) == 1
    may_go_on.set()
    await task
    assert not current_hub().suspended


async def test_resting_greenlets_hold_no_reference_to_their_last_job():
    # Its first job, too.
    _resting.greenlets.clear()

    class Thing:
        pass

    import weakref

    async def job():
        argument, result, error = Thing(), Thing(), ValueError()
        refs = [weakref.ref(argument), weakref.ref(result)]

        def function(thing):
            await_(echo(None))
            if thing is None:
                raise error
            return result

        await run_sync(function, argument)
        with pytest.raises(ValueError):
            await run_sync(function, None)
        return refs

    refs = await job()
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
    assert all(g.gr_context is None for g in _resting.greenlets)


async def test_greenlets_are_reused():
    for _ in range(3):
        await run_sync(lambda: None)
    resting = len(_resting.greenlets)
    for _ in range(100):
        await run_sync(lambda: await_(echo(None)))
    assert len(_resting.greenlets) == resting


def start_eagerly(loop, coroutine, **kwargs):
    """
    Do the first step of a task at once, as asyncio can since Python 3.12.
    """
    eager = getattr(asyncio, "eager_task_factory", asyncio.Task)
    kwargs.pop("eager_start", None)
    if eager is asyncio.Task:
        return asyncio.Task(coroutine, loop=loop, **kwargs)
    return eager(loop, coroutine, **kwargs)


async def test_eager_tasks_resume_from_another_place_than_they_started():
    asyncio.get_running_loop().set_task_factory(start_eagerly)

    def function(value):
        await_(asyncio.sleep(0))
        return await_(echo(value))

    def start():
        return await_(asyncio.create_task(run_sync(function, 7)))

    assert await asyncio.create_task(run_sync(function, 5)) == 5
    assert await run_sync(start) == 7


def test_run_sync_without_a_loop_can_be_driven_by_hand():
    driver = run_sync(lambda: 3)
    with pytest.raises(StopIteration) as stop:
        driver.send(None)
    assert stop.value.value == 3
