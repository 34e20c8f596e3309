"""
What a client that leaves ends: transactions and queries.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from django.db import connection, connections, transaction
from django.http import HttpResponse
from django.utils.decorators import sync_only_middleware

from django_evergreen.asgi import on_loop
from django_evergreen.bridge import run_sync
from django_evergreen.db import statistics

from ..app.models import Author
from .exchange import DEADLINE, Gate, begin, happens, recorded_signals, site, until

HERE = __name__


@pytest.fixture
def atomic_requests(db, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


# Transactions


async def write(request):
    await Author.objects.acreate(name="A")


async def test_transaction_of_an_async_view_is_rolled_back(atomic_requests, gate):
    async def view(request):
        await write(request)
        await gate.wait()

    await leave_and_count(view, gate)


async def test_transaction_of_a_thread_is_rolled_back(atomic_requests, gate):
    def view(request):
        Author.objects.create(name="A")
        gate.block()
        return HttpResponse("ok")

    await leave_and_count(view, gate)


async def test_transaction_around_the_view_is_rolled_back(db, gate):
    async def view(request):
        await write(request)
        await gate.wait()

    await leave_and_count(view, gate, middleware=[f"{HERE}.in_transaction"])


async def test_block_of_a_thread_that_catches_its_error_is_usable(db, gate):
    """
    The cancellation is raised once, as in a task.
    """

    def view(request):
        try:
            with transaction.atomic():
                Author.objects.create(name="A")
                gate.block()
        finally:
            Author.objects.create(name="cleanup")

    with site(view) as application:
        await leave(begin(application), gate)
    assert [author.name async for author in Author.objects.all()] == ["cleanup"]


@sync_only_middleware
def in_transaction(get_response):
    def middleware(request):
        with transaction.atomic():
            return get_response(request)

    return middleware


async def leave(exchange, gate):
    await happens(gate.reached)
    exchange.disconnect()
    await until(exchange._received.empty)
    for _ in range(3):
        await asyncio.sleep(0)
    gate.open.set()
    await exchange.end()


async def leave_and_count(view, gate, **options):
    with site(view, **options) as application:
        exchange = begin(application)
        await leave(exchange, gate)
    assert exchange.sent.empty()
    assert await Author.objects.acount() == 0
    assert statistics().idle == statistics().size


# Queries

SLEEPERS = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE state = 'active' AND query = 'SELECT pg_sleep(30)'"
)


def sleep():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")


def sleep_in_thread(request):
    sleep()


@on_loop
def sleep_on_loop(request):
    sleep()


async def sleep_in_task(request):
    await run_sync(sleep)


def sleepers():
    with connection.cursor() as cursor:
        cursor.execute(SLEEPERS)
        return cursor.fetchone()[0]


async def until_sleeping(count):
    async with asyncio.timeout(DEADLINE):
        while await run_sync(sleepers) != count:
            pass


VIEWS = pytest.mark.parametrize("view", [sleep_in_thread, sleep_on_loop, sleep_in_task])


@VIEWS
@pytest.mark.only("postgresql")
async def test_query_ends_on_the_server_when_its_client_leaves(db, view):
    with recorded_signals() as signals, site(view) as application:
        exchange = begin(application)
        await until_sleeping(1)
        left_at = time.monotonic()
        exchange.disconnect()
        await exchange.end()
        await until_sleeping(0)
        assert time.monotonic() - left_at < 1
    assert statistics().idle == statistics().size
    assert signals == ["started", "finished"]
