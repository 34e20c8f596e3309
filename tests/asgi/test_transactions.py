"""
The connection and the transaction of a request: of its threads, too.
"""

from __future__ import annotations

import asyncio
from functools import partial, update_wrapper

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db import connection, connections, transaction
from django.http import Http404, HttpResponse
from django.utils.decorators import async_only_middleware, sync_only_middleware

from django_evergreen.asgi import on_loop
from django_evergreen.bridge import run_sync
from django_evergreen.db import statistics

from ..app.models import Author
from .exchange import DEADLINE, Gate, begin, happens, request, site
from .test_threads import answer, place, sync_view

HERE = __name__


def session():
    """
    Return what tells a connection and its transaction from others.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_backend_pid(), txid_current()")
            return cursor.fetchone()
    return id(connection.connection)


async def asession():
    return await sync_to_async(session)()


@sync_only_middleware
def in_transaction(get_response):
    def middleware(request):
        with transaction.atomic():
            request.session = session()
            return get_response(request)

    return middleware


async def test_thread_and_loop_are_in_one_transaction(db):
    async def view(request):
        assert connection.in_atomic_block
        sessions = {request.session, await asession(), await run_sync(session)}
        return answer(len(sessions))

    def sync(request):
        sessions = {request.session, session(), async_to_sync(asession)()}
        return answer(len(sessions))

    with site(view, sync, middleware=[f"{HERE}.in_transaction"]) as application:
        assert (await request(application)).text == "1"
        assert (await request(application, "/sync/")).text == "1"


async def test_commit_hooks_of_a_thread_run_in_a_thread(db):
    places = []

    def view(request):
        with transaction.atomic():
            transaction.on_commit(lambda: places.append(place()))
        transaction.on_commit(lambda: places.append(place()))
        return answer()

    with site(view) as application:
        await request(application)
        assert places == ["thread", "thread"]


async def test_commit_hook_runs_in_a_thread_when_the_loop_commits(db):
    places = []

    def view(request):
        transaction.on_commit(lambda: places.append(place()))
        return answer()

    middleware = [f"{HERE}.in_transaction_on_loop"]
    with site(view, middleware=middleware) as application:
        await request(application)
        assert places == ["thread"]


async def outlive_a_request(work):
    """
    Have a view start ``work(may_end, has_ended)``: the request ends when the first
    event is set, and sets the second one then. Return when the work is done.
    """
    may_end, has_ended, tasks = asyncio.Event(), asyncio.Event(), []

    async def view(request):
        tasks.append(asyncio.create_task(work(may_end, has_ended)))
        await may_end.wait()
        return HttpResponse()

    with site(view) as application:
        await request(application)
        has_ended.set()
        async with asyncio.timeout(DEADLINE):
            await tasks[0]


async def test_commit_hook_of_a_thread_runs_after_its_request_has_ended(db):
    places = []

    async def transact(may_end, has_ended):
        async with transaction.atomic():
            hook = partial(transaction.on_commit, lambda: places.append(place()))
            await sync_to_async(hook)()
            may_end.set()
            await has_ended.wait()

    await outlive_a_request(transact)
    assert places == ["thread"]


async def test_file_of_a_task_that_outlives_its_request_is_stored_in_a_thread(
    monkeypatch,
):
    places = []

    def save(storage, *args):
        places.append(place())
        return "name"

    monkeypatch.setattr(FileSystemStorage, "_save", save)
    monkeypatch.setattr(FileSystemStorage, "get_available_name", lambda *args, **_: "n")

    async def store(may_end, has_ended):
        may_end.set()
        await has_ended.wait()
        await run_sync(FileSystemStorage().save, "name", ContentFile(b""))

    await outlive_a_request(store)
    assert places == ["thread"]


@async_only_middleware
def in_transaction_on_loop(get_response):
    async def middleware(request):
        async with transaction.atomic():
            return await get_response(request)

    return middleware


@async_only_middleware
def refusing(get_response):
    async def middleware(request):
        raise Http404 if "fail" not in request.GET else ZeroDivisionError

    return middleware


@pytest.mark.parametrize("query", [b"", b"fail"])
async def test_error_of_async_middleware_is_handled_in_the_transaction(db, query):
    def handler(request, exception=None):
        return answer(f"{place()} {session() == request.session}")

    handlers = {"handler404": handler, "handler500": handler}
    middleware = [f"{HERE}.in_transaction", f"{HERE}.refusing"]
    with site(sync_view, middleware=middleware, **handlers) as application:
        assert (await request(application, query=query)).text == "thread True"


@pytest.fixture
def atomic_requests(db, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


def write(request):
    Author.objects.create(name="A")
    if "fail" in request.GET:
        raise ZeroDivisionError
    return answer(connection.in_atomic_block)


async def awrite(request):
    await Author.objects.acreate(name="A")
    if "fail" in request.GET:
        raise ZeroDivisionError
    return answer(connection.in_atomic_block)


@pytest.mark.parametrize("view", [write, on_loop(partial(write)), awrite])
async def test_request_is_a_transaction(atomic_requests, view):
    update_wrapper(view, write)
    with site(view) as application:
        assert (await request(application, query=b"fail")).status == 500
        assert await Author.objects.acount() == 0
        assert (await request(application)).text == "True"
        assert await Author.objects.acount() == 1


@transaction.non_atomic_requests
def write_without(request):
    return write(request)


@transaction.non_atomic_requests
async def awrite_without(request):
    return await awrite(request)


@pytest.mark.parametrize("view", [write_without, awrite_without])
async def test_request_need_not_be_a_transaction(atomic_requests, view):
    with site(view) as application:
        assert (await request(application, query=b"fail")).status == 500
        assert await Author.objects.acount() == 1


async def test_thread_that_computes_keeps_no_connection(db):
    gate = Gate()

    def view(request):
        Author.objects.create(name="A")
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        list(Author.objects.iterator())
        gate.block()
        return answer()

    with site(view) as application:
        exchange = begin(application)
        await happens(gate.reached)
        assert statistics().idle == statistics().size
        gate.open.set()
        await exchange.reply()


async def test_cursor_that_a_thread_leaves_open_is_given_up_with_its_errand(db):
    cursors = []

    def view(request):
        cursors.append(connection.cursor())
        cursors[0].execute("SELECT 1")
        assert cursors[0].fetchone() == (1,)
        cursors.append(Author.objects.iterator())
        return answer()

    with site(view) as application:
        await request(application)
        assert statistics().idle == statistics().size
