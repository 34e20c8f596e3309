"""
Requests by hand: the messages that a server and an application send to each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import types
from http.cookies import SimpleCookie
from typing import NamedTuple

from django.core.signals import request_finished, request_started
from django.test import override_settings
from django.urls import path

from django_evergreen.asgi import get_asgi_application
from django_evergreen.db import _request_threads

# Seconds.
DEADLINE = 10


class Reply(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    @property
    def cookies(self):
        cookies = SimpleCookie()
        for name, value in self.headers:
            if name == b"Set-Cookie":
                cookies.load(value.decode())
        return {name: morsel.value for name, morsel in cookies.items()}


class Exchange:
    """
    One request, handled by a task as in a server.
    """

    def __init__(self, application, path="/", *, method="GET", headers=(), query=b""):
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "headers": [(b"host", b"testserver"), *headers],
        }
        self._received, self.sent = asyncio.Queue(), asyncio.Queue()
        call = application(scope, self._received.get, self._send)
        self.task = asyncio.create_task(call, name=f"{method} {path}")

    async def _send(self, message):
        self.sent.put_nowait(message)

    def send_body(self, body=b"", *, more=False):
        message = {"type": "http.request", "body": body, "more_body": more}
        self._received.put_nowait(message)

    def disconnect(self):
        self._received.put_nowait({"type": "http.disconnect"})

    async def message(self):
        """
        Return the next message of the application; raise the error that it ended with.
        """
        next_one = asyncio.create_task(self.sent.get())
        async with asyncio.timeout(DEADLINE):
            done, _ = await asyncio.wait(
                [next_one, self.task], return_when=asyncio.FIRST_COMPLETED
            )
        if next_one not in done and self.sent.empty():
            next_one.cancel()
            await self.task
            raise AssertionError("The application has ended.")
        return await next_one

    async def part(self):
        return (await self.message())["body"]

    async def reply(self):
        start = await self.message()
        parts, more = [], True
        while more:
            message = await self.message()
            more = message.get("more_body", False)
            parts.append(message.get("body", b""))
        await self.end()
        return Reply(start["status"], start["headers"], b"".join(parts))

    async def end(self):
        """
        Wait until the application has ended. Raises its error.
        """
        async with asyncio.timeout(DEADLINE):
            await self.task


async def request(application, path="/", *, body=b"", **options):
    exchange = Exchange(application, path, **options)
    exchange.send_body(body)
    return await exchange.reply()


def begin(application, path="/", *, body=b"", **options):
    """
    Return an exchange whose request was sent in whole.
    """
    exchange = Exchange(application, path, **options)
    exchange.send_body(body)
    return exchange


@contextlib.contextmanager
def site(*views, middleware=(), **settings):
    """
    Make a project of views, each at the path of its name and the first at "/" too;
    the block gets its application. Handlers of errors are told by ``handler404`` etc.
    """
    urls = types.ModuleType("urls_of_a_test")
    urls.urlpatterns = [path("", views[0])]
    urls.urlpatterns += [path(f"{name_of(view)}/", view) for view in views]
    for name in [name for name in settings if name.startswith("handler")]:
        setattr(urls, name, settings.pop(name))
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=list(middleware), **settings):
        yield get_asgi_application()


@contextlib.contextmanager
def threads(count):
    """
    Have so many threads for requests, instead of those that there are.
    """
    before = _request_threads._threads
    _request_threads._threads = _request_threads.Threads(f"one of {count}")
    try:
        with override_settings(EVERGREEN={"THREADS": count}):
            yield
    finally:
        _request_threads._threads = before


def name_of(view):
    return getattr(view, "view_class", view).__name__


@contextlib.contextmanager
def recorded_signals():
    """
    Record the signals of requests, in a list.
    """
    names = []

    def on_start(**kwargs):
        names.append("started")

    def on_finish(**kwargs):
        names.append("finished")

    # Not to be a reason for a thread.
    on_start.__module__ = on_finish.__module__ = "django.tests"
    request_started.connect(on_start)
    request_finished.connect(on_finish)
    try:
        yield names
    finally:
        request_started.disconnect(on_start)
        request_finished.disconnect(on_finish)


async def until(is_so):
    """
    Let others run until something is so.
    """
    async with asyncio.timeout(DEADLINE):
        while not is_so():
            await asyncio.sleep(0)


async def happens(event):
    """
    Wait for an event that a thread sets.
    """
    assert await asyncio.to_thread(event.wait, DEADLINE)


class Gate:
    """
    Holds a view until it's opened, however that waits.
    """

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()
        self.errors = []

    def block(self):
        self.reached.set()
        assert self.open.wait(DEADLINE)

    async def wait(self):
        self.reached.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            self.errors.append(type(error))
            raise
