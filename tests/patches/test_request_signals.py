"""
``request_started`` and ``request_finished``: where their receivers run.
"""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished, request_started
from django.db import connection
from django.dispatch import Signal
from django.http import HttpResponse

from tests.threads import NewThreads

SIGNALS = pytest.mark.parametrize("signal", [request_started, request_finished])


@pytest.fixture
def threads_of():
    """
    Connect a receiver, which may block, to signals; return where it was called.
    """
    threads, connected = [], []

    def connect(signal):
        signal.connect(receiver)
        connected.append(signal)
        return threads

    def receiver(**kwargs):
        threads.append(threading.current_thread())

    yield connect
    for signal in connected:
        signal.disconnect(receiver)


@SIGNALS
async def test_receiver_of_a_request_signal_keeps_a_thread(threads_of, signal):
    threads = threads_of(signal)
    await signal.asend(sender=None)
    assert threads != [threading.current_thread()]
    assert len(threads) == 1


async def test_receiver_of_another_signal_does_not(threads_of):
    threads = threads_of(signal := Signal())
    await signal.asend(sender=None)
    assert threads == [threading.current_thread()]


@SIGNALS
async def test_without_receivers_of_others_there_is_no_thread(db, signal):
    threads = NewThreads()
    async with ThreadSensitiveContext():
        await signal.asend(sender=None)
        assert not threads.look()


async def test_closing_a_response_keeps_a_thread_for_the_receivers(threads_of):
    """
    As it sends request_finished.
    """
    threads = threads_of(request_finished)
    response = HttpResponse()
    response._handler_class = ASGIHandler
    from django.core.handlers import asgi

    await asgi.sync_to_async(response.close)()
    assert threads != [threading.current_thread()]
    assert len(threads) == 1


async def test_request_ends_after_what_it_left_running_in_its_thread(db):
    """
    And closes the connections of that thread: it was cancelled, but goes on.
    """
    events, is_running, may_end = [], asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def view():
        loop.call_soon_threadsafe(is_running.set)
        may_end.wait(10)
        connection.ensure_connection()
        connections.append(connection._connections[connection._alias])
        events.append("view")

    connections = []
    async with ThreadSensitiveContext():
        task = asyncio.create_task(sync_to_async(view)())
        await is_running.wait()
        task.cancel()
        await asyncio.wait([task])
        sending = asyncio.create_task(request_finished.asend(sender=None))
        await asyncio.sleep(0)
        may_end.set()
        await sending
        events.append("request_finished")
    assert events == ["view", "request_finished"]
    assert connections[0].connection is None
