"""
``offload``: blocking calls in a thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from django_evergreen import NotInBridge
from django_evergreen.bridge import offload, run_sync

variable = contextvars.ContextVar("variable", default=None)


async def test_offload_runs_in_a_thread_while_the_loop_runs_on():
    entered, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block():
        loop.call_soon_threadsafe(entered.set)
        assert may_end.wait(10)
        return threading.get_ident()

    task = asyncio.create_task(run_sync(offload, block))
    await entered.wait()
    may_end.set()
    assert await task != threading.get_ident()


async def test_offload_passes_arguments_errors_and_context():
    variable.set("seen")

    def function(a, *, b):
        assert variable.get() == "seen"
        raise ValueError((a, b))

    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        await run_sync(offload, function, 1, b=2)


async def test_offload_that_is_cancelled_leaves_the_thread_alone():
    entered, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block():
        loop.call_soon_threadsafe(entered.set)
        assert may_end.wait(10)

    task = asyncio.create_task(run_sync(offload, block))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()


def test_offload_without_a_loop_calls_the_function():
    assert offload(threading.get_ident) == threading.get_ident()


async def test_offload_in_bare_async_code_is_refused():
    with pytest.raises(NotInBridge):
        offload(threading.get_ident)
