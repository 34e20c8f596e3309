"""
A client that leaves, and a server that cancels: what ends, and what is told of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from django.core.signals import request_finished
from django.http import HttpResponse

from django_evergreen.asgi import on_loop

from ..app.models import Author
from .exchange import (
    Exchange,
    Gate,
    begin,
    happens,
    recorded_signals,
    request,
    site,
    threads,
    until,
)

HERE = __name__

ONCE = ["started", "finished"]


@pytest.fixture
def signals():
    with recorded_signals() as signals:
        yield signals


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


# The signals of a request


def ok(request):
    return HttpResponse("ok")


async def async_ok(request):
    return HttpResponse("ok")


@on_loop
def ok_on_loop(request):
    return ok(request)


@pytest.mark.parametrize("view", [ok, ok_on_loop, async_ok])
async def test_request_begins_and_ends_once(signals, view):
    with site(view) as application:
        assert (await request(application)).status == 200
    assert signals == ONCE


async def test_request_that_fails_ends_once(signals):
    async def fail(request):
        raise ZeroDivisionError

    with site(fail) as application:
        assert (await request(application)).status == 500
    assert signals == ONCE


async def test_request_that_is_refused_ends_once(signals):
    with site(ok) as application:
        assert (await request(application, query=b"\xff")).status == 400
        assert signals == ONCE


async def test_request_whose_body_does_not_arrive_does_not_begin(signals):
    with site(ok) as application:
        exchange = Exchange(application)
        exchange.disconnect()
        await exchange.end()
        exchange = Exchange(application)
        exchange.send_body(b"a", more=True)
        exchange.disconnect()
        await exchange.end()
        exchange = Exchange(application)
        exchange.send_body(b"a", more=True)
        await until(exchange._received.empty)
        exchange.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange.end()
    assert exchange.sent.empty()
    assert signals == []


async def test_async_view_is_cancelled_when_its_client_leaves(signals, gate):
    async def view(request):
        await gate.wait()

    with site(view) as application:
        exchange = begin(application)
        await happens(gate.reached)
        assert signals == ["started"]
        exchange.disconnect()
        await exchange.end()
    assert gate.errors == [asyncio.CancelledError]
    assert exchange.sent.empty()
    assert signals == ONCE


async def test_sync_view_in_a_thread_is_left_to_end(signals, gate):
    def view(request):
        gate.block()
        return HttpResponse("ok")

    with site(view) as application:
        exchange = begin(application)
        await happens(gate.reached)
        exchange.disconnect()
        await until(exchange._received.empty)
        assert not exchange.task.done()
        assert signals == ["started"]
        gate.open.set()
        await exchange.end()
    assert exchange.sent.empty()
    assert signals == ONCE


async def test_statement_of_a_thread_whose_client_has_left_is_refused(db, gate):
    errors = []

    def view(request):
        gate.block()
        try:
            Author.objects.create(name="A")
        except BaseException as error:
            errors.append(type(error))
            raise

    with site(view) as application:
        exchange = begin(application)
        await happens(gate.reached)
        exchange.disconnect()
        await until(exchange._received.empty)
        await asyncio.sleep(0)
        gate.open.set()
        await exchange.end()
    assert errors == [asyncio.CancelledError]
    assert await Author.objects.acount() == 0


@pytest.mark.parametrize("times", [1, 2])
async def test_server_that_cancels_gets_the_cancellation(signals, gate, times):
    async def view(request):
        await gate.wait()

    with site(view) as application:
        exchange = begin(application)
        await happens(gate.reached)
        for _ in range(times):
            exchange.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange.end()
    assert signals == ONCE


async def test_client_that_leaves_after_the_view_stops_nothing(signals):
    async def view(request):
        return HttpResponse("ok")

    with site(view) as application:
        exchange = begin(application)
        assert (await exchange.message())["status"] == 200
        exchange.disconnect()
        assert await exchange.part() == b"ok"
        await exchange.end()
    assert signals == ONCE


class LostConnection:
    """
    A request whose server fails as soon as the view waits.
    """

    def __init__(self, application):
        self._application = application
        self._lost = asyncio.get_running_loop().create_future()
        self._messages = [{"type": "http.request"}]

    def lose(self):
        self._lost.set_exception(ConnectionError("lost"))

    async def run(self):
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await self._application(scope, self._receive, self._send)

    async def _receive(self):
        return self._messages.pop() if self._messages else await self._lost

    async def _send(self, message):
        pass


@pytest.mark.parametrize("obeys", [True, False])
async def test_error_of_the_server_ends_the_request_and_is_raised(signals, gate, obeys):
    async def view(request):
        exchange.lose()
        with contextlib.suppress(() if obeys else asyncio.CancelledError):
            await gate.wait()
        return HttpResponse("ok")

    with site(view, ALLOWED_HOSTS=["*"]) as application:
        exchange = LostConnection(application)
        with pytest.raises(ConnectionError, match="lost"):
            await exchange.run()
    assert gate.errors == [asyncio.CancelledError]
    assert signals == ONCE


async def test_cancellation_does_not_cut_off_the_end_of_a_request(gate):
    """
    Neither the first one nor the second one, which doesn't wait for it.
    """
    ended = threading.Event()

    def receiver(**kwargs):
        gate.block()
        ended.set()

    request_finished.connect(receiver)
    try:
        for times in (1, 2):
            gate.reached.clear()
            gate.open.clear()
            ended.clear()
            with site(async_ok) as application:
                exchange = begin(application)
                await happens(gate.reached)
                for _ in range(times):
                    exchange.task.cancel()
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                assert exchange.task.done() is (times == 2)
                gate.open.set()
                with pytest.raises(asyncio.CancelledError):
                    await exchange.end()
                await happens(ended)
    finally:
        request_finished.disconnect(receiver)


async def test_request_that_waits_for_a_thread_ends_when_it_has_one(gate):
    """
    Cancelled while all threads are busy, and twice while it ends.
    """
    ended = []

    def receiver(**kwargs):
        ended.append(True)

    def busy(request):
        gate.block()
        return HttpResponse("ok")

    with threads(1), site(busy, ok) as application:
        first = begin(application)
        await happens(gate.reached)
        request_finished.connect(receiver)
        try:
            second = begin(application, "/ok/")
            await until(second._received.empty)
            for _ in range(3):
                for _ in range(5):
                    await asyncio.sleep(0)
                second.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second.end()
            assert ended == []
            gate.open.set()
            await first.end()
            await until(lambda: len(ended) == 2)
        finally:
            request_finished.disconnect(receiver)
