"""
Servers: in the loop of the test, and in a process of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys

import hypercorn.asyncio
import hypercorn.config
import uvicorn
from granian.constants import Interfaces
from granian.server.embed import Server

from .exchange import DEADLINE


@contextlib.contextmanager
def listening():
    """
    A socket on a free port.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        listener.setblocking(False)
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.asynccontextmanager
async def uvicorn_in_loop(application):
    with listening() as (listener, url):
        config = uvicorn.Config(application, lifespan="on", log_config=None)
        server = uvicorn.Server(config)
        # Signals are the test runner's.
        server.capture_signals = contextlib.nullcontext
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await _until_started(server, serving)
            yield url
        finally:
            server.should_exit = True
            async with asyncio.timeout(DEADLINE):
                await serving


async def _until_started(server, serving):
    async with asyncio.timeout(DEADLINE):
        while not server.started:
            assert not serving.done(), serving
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def hypercorn_in_loop(application):
    with listening() as (listener, url):
        config = hypercorn.config.Config()
        config.bind = [f"fd://{os.dup(listener.fileno())}"]
        config.errorlog = None
        end = asyncio.Event()
        serve = hypercorn.asyncio.serve(
            application, config, shutdown_trigger=end.wait, mode="asgi"
        )
        serving = asyncio.create_task(serve)
        try:
            yield url
        finally:
            end.set()
            async with asyncio.timeout(DEADLINE):
                await serving


@contextlib.asynccontextmanager
async def granian_in_loop(application):
    # It opens its socket by itself.
    with listening() as (_, url):
        port = int(url.rpartition(":")[2])
    server = Server(
        application, port=port, interface=Interfaces.ASGI, log_enabled=False
    )
    serving = asyncio.create_task(server.serve())
    try:
        await _until_answering(port, serving)
        yield url
    finally:
        server.stop()
        async with asyncio.timeout(DEADLINE):
            await serving


async def _until_answering(port, serving):
    async with asyncio.timeout(DEADLINE):
        while True:
            assert not serving.done(), serving
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return


SCRIPT = """
import os, sys

import django
import uvicorn
from django.conf import settings

settings.ROOT_URLCONF = "tests.asgi.urls"
settings.MIDDLEWARE = []
settings.ALLOWED_HOSTS = ["*"]
from django_evergreen.asgi import get_asgi_application

application = get_asgi_application()
config = uvicorn.Config(application, fd=int(sys.argv[1]), access_log=False, backlog=256)
server = uvicorn.Server(config)
server.run()
"""


@contextlib.contextmanager
def uvicorn_process():
    """
    A server of tests/asgi/urls.py in a process of its own, and its URL.
    """
    with listening() as (listener, url):
        fd = listener.fileno()
        with subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, str(fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[fd],
        ) as process:
            try:
                yield process, url
            finally:
                process.kill()
