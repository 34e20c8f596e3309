"""
Over HTTP, with real servers.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from urllib.parse import urlsplit

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse

from django_evergreen.db import statistics

from ..app.models import Author
from ..heartbeat import Heartbeat
from .exchange import DEADLINE, Gate, happens, recorded_signals, site, until
from .fix_server import (
    granian_in_loop,
    hypercorn_in_loop,
    uvicorn_in_loop,
    uvicorn_process,
)
from .test_disconnected_queries import VIEWS, until_sleeping
from .urls import COUNT

SERVERS = pytest.mark.parametrize(
    "serve", [uvicorn_in_loop, hypercorn_in_loop, granian_in_loop]
)
HOST = ["127.0.0.1"]


def client():
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(timeout=DEADLINE, limits=limits, trust_env=False)


def sync(request):
    Author.objects.create(name="sync")
    return HttpResponse("sync")


async def asynchronous(request):
    await Author.objects.acreate(name="async")
    return HttpResponse("asynchronous")


async def echo(request):
    return HttpResponse(request.body[::-1])


async def parts(request):
    async def numbers():
        for number in range(10):
            yield str(number)

    return StreamingHttpResponse(numbers())


def sync_parts(request):
    return StreamingHttpResponse(str(number) for number in range(10))


def fail(request):
    raise ZeroDivisionError


@SERVERS
async def test_requests_are_served(db, serve):
    views = [sync, asynchronous, echo, parts, sync_parts, fail]
    options = {"middleware": settings.MIDDLEWARE, "ALLOWED_HOSTS": HOST}
    with site(*views, **options) as application:
        async with serve(application) as url, client() as http:
            for path in ("sync", "asynchronous"):
                assert (await http.get(f"{url}/{path}/")).text == path
            body = b"abc" * 100_000
            reply = await http.post(f"{url}/echo/", content=body)
            assert reply.status_code == 403
            for path in ("parts", "sync_parts"):
                assert (await http.get(f"{url}/{path}/")).text == "0123456789"
            assert (await http.get(f"{url}/fail/")).status_code == 500
            assert (await http.get(f"{url}/nowhere/")).status_code == 404
            assert (await http.head(f"{url}/sync/")).content == b""
            replies = await asyncio.gather(
                *(http.get(f"{url}/{path}/") for path in ["sync", "asynchronous"] * 25)
            )
            assert {reply.status_code for reply in replies} == {200}
    assert await Author.objects.acount() == 53


@SERVERS
async def test_big_bodies_are_received(serve):
    with site(echo, ALLOWED_HOSTS=HOST, DATA_UPLOAD_MAX_MEMORY_SIZE=None) as app:
        async with serve(app) as url, client() as http:
            body = b"ab" * 2_000_000
            reply = await http.post(url, content=body)
            assert reply.content == body[::-1]


async def connect(url):
    """
    Send a request, on a connection of its own.
    """
    port = urlsplit(url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    return reader, writer


async def get_alone(url):
    """
    Return the body of a response, at less expense than the client's.
    """
    reader, writer = await connect(url)
    reply = await reader.read()
    writer.close()
    return reply.partition(b"\r\n\r\n")[2]


@SERVERS
@VIEWS
@pytest.mark.only("postgresql")
async def test_query_of_a_client_that_leaves_ends_on_the_server(db, serve, view):
    with recorded_signals() as signals, site(view, ALLOWED_HOSTS=HOST) as application:
        async with serve(application) as url:
            _, writer = await connect(url)
            await until_sleeping(1)
            left_at = time.monotonic()
            writer.close()
            await until_sleeping(0)
            assert time.monotonic() - left_at < 1
            await until(lambda: signals == ["started", "finished"])
            await until(lambda: statistics().idle == statistics().size)


async def test_view_that_blocks_in_a_thread_delays_nobody(db):
    gate = Gate()

    def blocks(request):
        gate.block()
        return HttpResponse("at last")

    async def quick(request):
        return HttpResponse(str(await Author.objects.acount()))

    with site(blocks, quick, ALLOWED_HOSTS=HOST) as application:
        async with uvicorn_in_loop(application) as url, client() as http:
            await http.get(f"{url}/quick/")
            async with Heartbeat() as heartbeat:
                slow = asyncio.create_task(http.get(url))
                await happens(gate.reached)
                for _ in range(20):
                    assert (await http.get(f"{url}/quick/")).text == "0"
                assert not slow.done()
                gate.open.set()
                assert (await slow).text == "at last"
            assert heartbeat.late < 0.05


@pytest.mark.slow
@pytest.mark.only("postgresql")
async def test_requests_at_once_need_no_thread(db):
    count, here, all_here = 500, [], asyncio.Event()
    most = 0

    async def view(request):
        nonlocal most
        here.append(True)
        if len(here) == count:
            all_here.set()
        await all_here.wait()
        most = max(most, threading.active_count())
        return HttpResponse(str(await Author.objects.acount()))

    with site(view, middleware=settings.MIDDLEWARE, ALLOWED_HOSTS=HOST) as application:
        async with uvicorn_in_loop(application) as url:
            before = threading.active_count()
            bodies = await asyncio.gather(*(get_alone(url) for _ in range(count)))
            assert set(bodies) == {b"0"}
            assert most == before


async def test_task_outlives_its_request(db):
    tasks, may_go_on = [], asyncio.Event()

    async def work():
        await may_go_on.wait()
        await sync_to_async(threading.get_ident)()
        await Author.objects.acreate(name="later")

    async def view(request):
        tasks.append(asyncio.create_task(work()))
        return HttpResponse("ok")

    with site(view, ALLOWED_HOSTS=HOST) as application:
        async with uvicorn_in_loop(application) as url, client() as http:
            assert (await http.get(url)).text == "ok"
            may_go_on.set()
            await tasks[0]
    assert await Author.objects.acount() == 1


@pytest.mark.slow
async def test_sigterm_lets_requests_finish(db):
    def wait_for(stream, text):
        said = []
        for line in stream:
            said.append(line)
            if text in line:
                return said
        raise AssertionError("".join(said))

    with uvicorn_process() as (process, url):
        await asyncio.to_thread(wait_for, process.stderr, "Uvicorn running")
        async with client() as http:
            paths = ["sync"] * 20 + ["asynchronous"] * (COUNT - 20)
            replies = [
                asyncio.create_task(http.get(f"{url}/{path}/")) for path in paths
            ]
            await asyncio.to_thread(wait_for, process.stdout, "all are here")
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(wait_for, process.stderr, "Waiting for")
            process.stdin.close()
            texts = {(await reply).text for reply in replies}
        said = await asyncio.to_thread(process.stderr.read)
        code = await asyncio.to_thread(process.wait, DEADLINE)
    assert texts == {"1"}
    assert "Traceback" not in said
    assert "Warning" not in said
    assert "Finished server process" in said
    # uvicorn ends by the signal that it was told to end by.
    assert code in (0, -signal.SIGTERM)
