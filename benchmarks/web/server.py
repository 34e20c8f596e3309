"""
One way to serve HTTP: ``python -m benchmarks.web.server evergreen FD [--uvloop]``.

Listens on an open socket, whose descriptor it's given, and uses one core: that of the
environment's ``CORE``.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import signal
import socket
import sys

from . import project
from .generator import allow_connections

# Of the same kind for all: as many connections to the database as WSGI has threads.
THREADS = 16
# Seconds for which an idle connection of a client is kept.
KEEP_ALIVE = 75

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
PR_SET_PDEATHSIG = 1


def serve_asgi(listener, loop):
    import uvicorn

    config = uvicorn.Config(
        project.application(os.environ["WAY"]),
        http="httptools",
        loop=loop,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[listener])


def serve_wsgi(listener, loop):
    # As gunicorn's threads take twice its CPU time for a request.
    import waitress

    # It warns of each request that has to wait for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress.serve(
        project.application("wsgi"),
        sockets=[listener],
        threads=THREADS,
        connection_limit=1000,
        channel_timeout=KEEP_ALIVE,
        asyncore_use_poll=True,
        _quiet=True,
    )


class Nothing(asyncio.Protocol):
    """
    Answers at once: what is measured then is the generator.
    """

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(ANSWER)


def serve_nothing(listener, loop):
    import uvloop

    async def serve():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Nothing, sock=listener)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main():
    way, descriptor, *rest = sys.argv[1:]
    os.environ["WAY"] = way
    end_with_parent()
    if "CORE" in os.environ:
        os.sched_setaffinity(0, {int(os.environ["CORE"])})
    allow_connections()
    if way != "nothing":
        pool_size = int(os.environ.get("POOL_SIZE", THREADS))
        project.configure(way, json.loads(os.environ["DATABASE"]), pool_size)
    serve = {"wsgi": serve_wsgi, "nothing": serve_nothing}.get(way, serve_asgi)
    serve(socket.socket(fileno=int(descriptor)), "uvloop" if rest else "asyncio")


main()
