"""
Start-up opens the pools, and shutdown closes them.
"""

from __future__ import annotations

import asyncio
import logging

import pytest
from django.db import connections
from django.http import HttpResponse

from django_evergreen.asgi import _lifespan
from django_evergreen.bridge._loops import current_hub
from django_evergreen.db import statistics
from django_evergreen.db._pools import pools_of

from ..app.models import Author
from ..db.test_pools import pool_options
from ..silent_server import SilentServer
from .exchange import DEADLINE, begin, site
from .fix_server import uvicorn_in_loop


class Lifespan:
    """
    A server's side of the lifespan protocol.
    """

    def __init__(self, application):
        self._received, self._sent = asyncio.Queue(), asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
        call = application(scope, self._received.get, self._sent.put)
        self.task = asyncio.create_task(call)

    async def _say(self, event):
        self._received.put_nowait({"type": f"lifespan.{event}"})
        async with asyncio.timeout(DEADLINE):
            return (await self._sent.get())["type"]

    async def start_up(self):
        assert await self._say("startup") == "lifespan.startup.complete"

    async def shut_down(self):
        assert await self._say("shutdown") == "lifespan.shutdown.complete"
        await self.task


async def view(request):
    return HttpResponse(str(await Author.objects.acount()))


@pytest.fixture
def application(both_databases):
    with site(view) as application:
        yield application


async def test_pools_are_full_after_start_up_and_closed_after_shutdown(application):
    with pool_options(min_size=3):
        lifespan = Lifespan(application)
        await lifespan.start_up()
        assert (statistics().size, statistics().idle) == (3, 3)
        await lifespan.shut_down()
    assert pools_of(current_hub()) == {}


async def test_shutdown_waits_for_requests(application):
    inside, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow(request):
        from django.db import transaction

        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            inside.set()
            await may_go_on.wait()
            return await view(request)

    with site(slow) as application:
        lifespan = Lifespan(application)
        await lifespan.start_up()
        exchange = begin(application)
        await inside.wait()
        ending = asyncio.create_task(lifespan.shut_down())
        while not pools_of(current_hub())["default"]._draining:
            await asyncio.sleep(0)
        may_go_on.set()
        assert (await exchange.reply()).text == "1"
        await ending
    assert pools_of(current_hub()) == {}


async def test_database_that_is_down_keeps_nobody_from_starting(
    application, monkeypatch, caplog
):
    settings = connections["default"].settings_dict
    if connections["default"].vendor == "postgresql":
        monkeypatch.setitem(settings, "PORT", "1")
    else:
        monkeypatch.setitem(settings, "NAME", "/nowhere/db.sqlite3")
    with pool_options(min_size=1):
        lifespan = Lifespan(application)
        with caplog.at_level(logging.ERROR, "django_evergreen.asgi"):
            await lifespan.start_up()
        assert "could not be reached at start-up" in caplog.text
        await lifespan.shut_down()


@pytest.mark.only("postgresql")
async def test_database_that_does_not_answer_keeps_nobody_from_starting(
    db, monkeypatch, caplog
):
    monkeypatch.setattr(_lifespan, "OPEN_TIMEOUT", 0.2)
    async with SilentServer() as server:
        settings = connections["default"].settings_dict
        monkeypatch.setitem(settings, "HOST", "127.0.0.1")
        monkeypatch.setitem(settings, "PORT", server.port)
        with pool_options(min_size=1), site(view) as application:
            lifespan = Lifespan(application)
            await lifespan.start_up()
            assert "could not be reached at start-up" in caplog.text
            assert statistics().size == 0
            await lifespan.shut_down()


async def test_server_opens_and_closes_the_pools(application):
    with pool_options(min_size=2):
        async with uvicorn_in_loop(application):
            assert statistics().idle == 2
    assert pools_of(current_hub()) == {}
