"""
One way to serve, in a process of its own:
``python -m benchmarks.web.worker evergreen [--uvloop]``.

Reads lines from its input, each a path and a number of requests, and prints for each
line the CPU seconds that they took. The parent has the processes take turns.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import time

from ..turns import Turns, outside
from . import project


class WSGI:
    def __init__(self, cookie):
        self.application = project.application("wsgi")
        self.cookie = cookie

    def get(self, path, times):
        for _ in range(times):
            environ = {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": path,
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "80",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "HTTP_HOST": "localhost",
                "HTTP_COOKIE": self.cookie,
                "wsgi.input": io.BytesIO(),
                "wsgi.url_scheme": "http",
            }
            response = self.application(environ, self.start)
            for _part in response:
                pass
            response.close()

    def start(self, status, headers):
        assert status == "200 OK", status


class InLoop:
    """
    Requests on an event loop, each in a task of its own, as servers have it.
    """

    def __init__(self, loop):
        self.loop = loop

    def get(self, path, times):
        self.loop.run_until_complete(self._get(path, times))

    async def _get(self, path, times):
        for _ in range(times):
            await self.loop.create_task(self._request(path))


class Floor(InLoop):
    """
    The least that an async request can cost: one of WSGI, and a wait of the loop for
    each query.
    """

    def __init__(self, cookie, loop):
        super().__init__(loop)
        self.wsgi, self.turns = WSGI(cookie), Turns(loop)

    async def _request(self, path):
        with outside(self.loop):
            self.wsgi.get(path, 1)
        for _ in range(project.QUERIES):
            await self.turns.wait()


class ASGI(InLoop):
    def __init__(self, cookie, loop):
        super().__init__(loop)
        self.application = project.application(os.environ["WAY"])
        self.headers = [(b"host", b"localhost"), (b"cookie", cookie.encode())]

    async def _request(self, path):
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            return await asyncio.Event().wait()

        async def send(message):
            assert message.get("status", 200) == 200, message

        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": self.headers,
        }
        await self.application(scope, receive, send)


def new_server(way, cookie, options):
    if way.endswith(project.FLOOR):
        return Floor(cookie, new_loop(options))
    if way.startswith("wsgi"):
        return WSGI(cookie)
    return ASGI(cookie, new_loop(options))


def new_loop(options):
    if not options:
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def main():
    way, *rest = sys.argv[1:]
    os.environ["WAY"] = way
    project.configure(way, json.loads(os.environ["DATABASE"]))
    cookie = project.log_in()
    server = new_server(way, cookie, rest)
    for line in sys.stdin:
        path, times = line.split()
        started = time.process_time()
        server.get(path, int(times))
        print(time.process_time() - started, flush=True)


main()
