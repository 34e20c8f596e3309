"""
Bodies that come and go in parts.
"""

from __future__ import annotations

import asyncio
import io
import threading

import pytest
from django.db import connection
from django.http import FileResponse, StreamingHttpResponse

from django_evergreen.asgi import on_loop
from django_evergreen.bridge import await_, in_bridge
from django_evergreen.db import statistics

from ..app.models import Author
from .exchange import (
    DEADLINE,
    Exchange,
    begin,
    recorded_signals,
    request,
    site,
    until,
)

PARTS = 30


class Stream:
    """
    Produces parts when it's told to, and notes what becomes of it.
    """

    def __init__(self):
        self.go_on, self.ended = threading.Semaphore(0), threading.Event()
        self.produced = 0

    def sync(self):
        try:
            for number in range(3):
                if in_bridge():
                    await_(self.may_go_on())
                else:
                    assert self.go_on.acquire(timeout=DEADLINE)
                self.produced += 1
                yield f"part {number}"
        finally:
            self.ended.set()

    async def may_go_on(self):
        while not self.go_on.acquire(blocking=False):
            await asyncio.sleep(0)

    async def asynchronous(self):
        try:
            for number in range(3):
                await self.may_go_on()
                self.produced += 1
                yield f"part {number}"
        finally:
            self.ended.set()


@pytest.fixture
def stream():
    stream = Stream()
    yield stream
    for _ in range(3):
        stream.go_on.release()


@pytest.fixture
def views(stream):
    def in_thread(request):
        return StreamingHttpResponse(stream.sync())

    @on_loop
    def in_bridge(request):
        return StreamingHttpResponse(stream.sync())

    async def in_task(request):
        return StreamingHttpResponse(stream.sync())

    async def awaited(request):
        return StreamingHttpResponse(stream.asynchronous())

    with site(in_thread, in_bridge, in_task, awaited) as application:
        yield application


VIEWS = ["in_thread", "in_bridge", "in_task", "awaited"]


@pytest.mark.parametrize("view", VIEWS)
async def test_parts_are_sent_as_they_come(views, stream, view):
    exchange = begin(views, f"/{view}/")
    stream.go_on.release()
    assert (await exchange.message())["status"] == 200
    assert await exchange.part() == b"part 0"
    assert stream.produced == 1
    stream.go_on.release(2)
    assert (await exchange.part(), await exchange.part()) == (b"part 1", b"part 2")
    assert not (await exchange.message()).get("more_body")
    await exchange.end()
    assert stream.ended.is_set()


@pytest.mark.parametrize("view", VIEWS)
async def test_stream_that_is_cut_off_is_closed(views, stream, view):
    with recorded_signals() as signals:
        exchange = begin(views, f"/{view}/")
        stream.go_on.release()
        await exchange.message()
        await exchange.part()
        exchange.disconnect()
        await until(exchange._received.empty)
        if view in ("in_thread", "in_task"):
            # It blocks, and so can't be cancelled.
            stream.go_on.release()
        await exchange.end()
        assert stream.ended.is_set()
        assert stream.produced < 3
    assert signals == ["started", "finished"]


async def test_stream_that_fails_is_closed(caplog):
    ended = []

    def parts():
        try:
            yield b"part"
            raise ZeroDivisionError
        finally:
            ended.append(True)

    def view(request):
        return StreamingHttpResponse(parts())

    with recorded_signals() as signals, site(view) as application:
        exchange = begin(application)
        await exchange.message()
        assert await exchange.part() == b"part"
        with pytest.raises(ZeroDivisionError):
            await exchange.end()
    assert (ended, signals) == ([True], ["started", "finished"])


async def names():
    async for author in Author.objects.order_by("pk").aiterator(chunk_size=1):
        yield author.name


def sync_names():
    for author in Author.objects.order_by("pk").iterator(chunk_size=1):
        yield author.name


async def rows_awaited(request):
    return StreamingHttpResponse(names())


def rows_in_thread(request):
    return StreamingHttpResponse(sync_names())


@on_loop
def rows_in_bridge(request):
    return StreamingHttpResponse(sync_names())


QUERYING = pytest.mark.parametrize(
    "view", [rows_awaited, rows_in_thread, rows_in_bridge]
)


async def make_authors():
    await Author.objects.abulk_create(Author(name=str(n)) for n in range(PARTS))


@QUERYING
async def test_rows_are_streamed(db, view):
    await make_authors()
    with site(view) as application:
        reply = await request(application)
    assert reply.text == "".join(map(str, range(PARTS)))
    assert statistics().idle == statistics().size


class Slow(Exchange):
    """
    Has a client that reads one part, and no more.
    """

    async def _send(self, message):
        await super()._send(message)
        if self.sent.qsize() > 1:
            await asyncio.Event().wait()


@QUERYING
async def test_cursor_of_a_stream_that_is_cut_off_is_closed(db, view):
    await make_authors()
    with site(view) as application:
        exchange = Slow(application)
        exchange.send_body()
        await until(lambda: exchange.sent.qsize() == 2)
        if connection.vendor == "postgresql":
            assert statistics().idle < statistics().size
        exchange.disconnect()
        await exchange.end()
    await until(lambda: statistics().idle == statistics().size)
    assert await Author.objects.acount() == PARTS


async def test_file_is_sent_and_closed(tmp_path):
    path = tmp_path / "file"
    content = b"x" * 200_000
    path.write_bytes(content)
    files = []

    async def view(request):
        files.append(path.open("rb"))
        return FileResponse(files[0])

    with site(view) as application:
        reply = await request(application)
    assert reply.body == content
    assert dict(reply.headers)[b"Content-Length"] == b"200000"
    assert files[0].closed


class Reading(io.BytesIO):
    """
    A file that knows who reads it.
    """

    def __init__(self):
        super().__init__(b"x" * 200_000)
        self.threads = set()

    def read(self, *args):
        self.threads.add(threading.current_thread())
        return super().read(*args)


async def test_file_is_read_in_a_thread_and_closed_when_it_is_cut_off():
    file = Reading()

    async def view(request):
        return FileResponse(file)

    with site(view) as application:
        exchange = Slow(application)
        exchange.send_body()
        await until(lambda: exchange.sent.qsize() == 2)
        exchange.disconnect()
        await exchange.end()
    assert threading.current_thread() not in file.threads
    assert file.closed
