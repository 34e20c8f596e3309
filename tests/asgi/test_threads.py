"""
Where the code of a request runs, and what its thread shares with it.
"""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpResponse
from django.template.response import SimpleTemplateResponse
from django.utils.decorators import async_only_middleware, sync_only_middleware
from django.views import View

from django_evergreen.asgi import in_thread, on_loop
from django_evergreen.bridge import in_bridge

from ..app.models import Author
from .exchange import request, site, threads

HERE = __name__


def place():
    """
    Return where this code runs.
    """
    if threading.current_thread() is threading.main_thread():
        return "bridge" if in_bridge() else "loop"
    return "thread"


def answer(text=None):
    return HttpResponse(str(text or place()))


def sync_view(request):
    return answer()


async def async_view(request):
    return answer()


@on_loop
def view_on_loop(request):
    return answer()


@in_thread
def view_in_thread(request):
    return answer()


class SyncClass(View):
    def get(self, request):
        return answer()


class AsyncClass(View):
    async def get(self, request):
        return answer()


@on_loop
class ClassOnLoop(SyncClass):
    pass


PLACES = [
    (sync_view, "thread"),
    (async_view, "loop"),
    (view_on_loop, "bridge"),
    (view_in_thread, "thread"),
    (SyncClass.as_view(), "thread"),
    (AsyncClass.as_view(), "loop"),
    (ClassOnLoop.as_view(), "bridge"),
]


@pytest.mark.parametrize(("view", "expected"), PLACES)
async def test_views_run_where_they_may(view, expected):
    with site(view) as application:
        assert (await request(application)).text == expected


async def test_setting_puts_views_on_the_loop():
    with site(sync_view, EVERGREEN={"ON_LOOP": [HERE]}) as application:
        assert (await request(application)).text == "bridge"
    with site(view_in_thread, EVERGREEN={"ON_LOOP": [HERE]}) as application:
        assert (await request(application)).text == "thread"


class Template(SimpleTemplateResponse):
    """
    A response that is rendered by a function instead of a template.
    """

    def __init__(self):
        super().__init__("no template")

    @property
    def rendered_content(self):
        return place()


async def test_templates_are_rendered_where_the_view_ran():
    def sync(request):
        return Template()

    async def asynchronous(request):
        return Template()

    with site(sync, asynchronous) as application:
        assert (await request(application, "/sync/")).text == "thread"
        assert (await request(application, "/asynchronous/")).text == "bridge"


# Middleware


def noting(request, name):
    request.places = [*getattr(request, "places", []), f"{name}: {place()}"]


@sync_only_middleware
def sync_only(get_response):
    def middleware(request):
        noting(request, "sync")
        response = get_response(request)
        response["X-Sync"] = place()
        return response

    return middleware


@async_only_middleware
def async_only(get_response):
    async def middleware(request):
        noting(request, "async")
        response = await get_response(request)
        response["X-Async"] = place()
        return response

    return middleware


async def test_middleware_runs_where_it_may():
    async def view(request):
        return answer(" ".join(request.places))

    for order in ([f"{HERE}.sync_only", f"{HERE}.async_only"],) * 2:
        with site(view, middleware=order) as application:
            reply = await request(application)
            assert set(reply.text.split(" ")) == set("sync: thread async: loop".split())
            assert dict(reply.headers)[b"X-Sync"] == b"thread"
            assert dict(reply.headers)[b"X-Async"] == b"loop"
        order.reverse()


async def test_all_sync_code_of_a_request_runs_in_one_thread():
    threads = []

    def view(request):
        threads.append(threading.get_ident())
        return answer()

    with site(view, middleware=[f"{HERE}.noting_threads"] * 2) as application:
        noted.clear()
        await request(application)
        assert len(noted) == 4
        assert set(noted) == set(threads)


noted = []


@sync_only_middleware
def noting_threads(get_response):
    def middleware(request):
        noted.append(threading.get_ident())
        response = get_response(request)
        noted.append(threading.get_ident())
        return response

    return middleware


# Between sync and async


async def test_views_cross_over_three_times_and_back(db):
    places = []

    def cross(depth):
        places.append(place())
        Author.objects.create(name="sync")
        if depth:
            async_to_sync(across)(depth - 1)

    async def across(depth):
        places.append(place())
        await Author.objects.acreate(name="async")
        if depth:
            await sync_to_async(cross)(depth - 1)

    def sync(request):
        cross(6)
        return answer()

    async def asynchronous(request):
        await across(6)
        return answer()

    with threads(1), site(sync, asynchronous) as application:
        await request(application, "/sync/")
        assert places == ["thread", "loop"] * 3 + ["thread"]
        places.clear()
        await request(application, "/asynchronous/")
        assert places == ["loop", "thread"] * 3 + ["loop"]
        assert await Author.objects.acount() == 14


async def test_requests_wait_for_a_free_thread(db):
    running, most, lock = 0, 0, threading.Lock()

    def view(request):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        Author.objects.create(name="A")
        with lock:
            running -= 1
        return answer()

    with threads(2), site(view) as application:
        replies = await asyncio.gather(*(request(application) for _ in range(50)))
        assert {reply.status for reply in replies} == {200}
        assert most <= 2
        assert await Author.objects.acount() == 50


# Several at once, in one request


async def test_calls_in_a_thread_are_not_begun_inside_of_each_other(db):
    """
    As in asgiref: the second one waits until the first one has ended.
    """
    events, first_is_done = [], asyncio.Event()

    def first():
        events.append("first begins")
        Author.objects.create(name="A")
        async_to_sync(tell)()
        events.append("first ends")

    async def tell():
        first_is_done.set()

    def second():
        events.append("second")
        async_to_sync(first_is_done.wait)()

    async def view(request):
        await asyncio.gather(sync_to_async(first)(), sync_to_async(second)())
        return answer()

    with site(view) as application:
        assert (await request(application)).status == 200
    assert events == ["first begins", "first ends", "second"]


async def test_threads_are_used_again_after_a_loop_has_ended(db):
    def view(request):
        Author.objects.create(name="A")
        return answer()

    with threads(1), site(view) as application:
        await request(application)

        def in_another_loop():
            return asyncio.run(request(application))

        assert (await asyncio.to_thread(in_another_loop)).status == 200
