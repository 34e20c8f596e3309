"""
Requests at the same time know nothing of each other.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
import threading
import types

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.http import HttpResponse, JsonResponse
from django.test import AsyncClient
from django.urls import get_urlconf, path, set_urlconf
from django.utils import timezone, translation
from django.utils.decorators import sync_only_middleware

from django_evergreen.asgi import on_loop

from .exchange import DEADLINE, request, site, threads

HERE = __name__
COUNT = 100

LANGUAGES = ["de", "fr", "es", "it", "en"]
ZONES = ["Europe/Berlin", "Asia/Tokyo", "America/New_York"]

variable = contextvars.ContextVar("variable", default=None)
local = threading.local()


@sync_only_middleware
def personal(get_response):
    """
    Sets all that belongs to a request, in the thread.
    """

    def middleware(request):
        number = int(request.GET["n"])
        variable.set(number)
        translation.activate(LANGUAGES[number % len(LANGUAGES)])
        timezone.activate(ZONES[number % len(ZONES)])
        if number % 2:
            request.urlconf = f"{HERE}.odd"
        local.number = number
        response = get_response(request)
        assert local.number == number
        response["Seen"] = str(variable.get())
        return response

    return middleware


def state(user):
    return {
        "number": variable.get(),
        "language": translation.get_language(),
        "zone": timezone.get_current_timezone_name(),
        "urlconf": str(get_urlconf()),
        "user": user.username,
        "local": getattr(local, "number", None),
    }


def expected(number, *, is_in_thread):
    return {
        "number": number,
        "language": LANGUAGES[number % len(LANGUAGES)],
        "zone": ZONES[number % len(ZONES)],
        "user": f"user {number % 10}",
        "local": number if is_in_thread else None,
    }


class Rendezvous:
    """
    Lets views go on when all of them have come.
    """

    def __init__(self, count):
        self._missing, self._all_here = count, asyncio.Event()

    async def arrive(self):
        self._missing -= 1
        if not self._missing:
            self._all_here.set()
        await self._all_here.wait()


rendezvous: Rendezvous


async def asynchronous(request):
    user = await request.auser()
    before = state(user)
    await rendezvous.arrive()
    of_thread = await sync_to_async(state)(user)
    assert of_thread == before | {"local": before["number"]}
    assert state(user) == before
    variable.set(f"changed {before['number']}")
    return JsonResponse(before)


def sync(request):
    before = state(request.user)
    async_to_sync(rendezvous.arrive)()
    assert state(request.user) == before
    variable.set(f"changed {before['number']}")
    return JsonResponse(before)


@pytest.fixture
def users(db):
    return [User.objects.create_user(f"user {n}") for n in range(10)]


SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"


async def cookie_of(user):
    client = AsyncClient()
    await client.aforce_login(user)
    return client.cookies["sessionid"].value


@pytest.mark.parametrize("view", [asynchronous, sync])
async def test_requests_at_once_keep_their_state(users, view, monkeypatch):
    """
    Of their users, languages, time zones, URLs, and of their threads.
    """
    global rendezvous
    rendezvous = Rendezvous(COUNT)
    cookies = [await cookie_of(user) for user in users]
    odd = types.ModuleType(f"{HERE}.odd")
    odd.urlpatterns = [path("", view)]
    monkeypatch.setitem(sys.modules, odd.__name__, odd)
    middleware = [SESSION, AUTH, f"{HERE}.personal"]

    async def get(number):
        cookie = f"sessionid={cookies[number % 10]}".encode()
        options = {"query": f"n={number}".encode(), "headers": [(b"cookie", cookie)]}
        reply = await request(application, **options)
        seen = json.loads(reply.body)
        urlconf = seen.pop("urlconf")
        assert ("odd" in urlconf) == bool(number % 2)
        assert seen == expected(number, is_in_thread=view is sync)
        assert dict(reply.headers)[b"Seen"] == f"changed {number}".encode()

    # The context of the test has to stay as it is.
    before = (translation.get_language(), timezone.get_current_timezone_name())
    with threads(COUNT), site(view, middleware=middleware) as application:
        async with asyncio.timeout(4 * DEADLINE):
            await asyncio.gather(*(get(number) for number in range(COUNT)))
    assert variable.get() is None
    assert before == (
        translation.get_language(),
        timezone.get_current_timezone_name(),
    )


async def test_thread_locals_are_not_seen_by_the_next_request():
    """
    Only of requests at the same time: a thread is used again, as in WSGI.
    """
    seen = []

    def view(request):
        seen.append((threading.get_ident(), getattr(local, "mark", None)))
        local.mark = True
        async_to_sync(both.arrive)()
        del local.mark
        return HttpResponse("ok")

    both = Rendezvous(2)
    with threads(2), site(view) as application:
        await asyncio.gather(request(application), request(application))
    assert len({ident for ident, _ in seen}) == 2
    assert [mark for _, mark in seen] == [None, None]


async def test_url_configuration_is_reset_at_the_end():
    async def view(request):
        set_urlconf("nowhere")
        return HttpResponse("ok")

    with site(view) as application:
        await request(application)
        assert get_urlconf() is None


@on_loop
def middleware_on_loop(get_response):
    def middleware(request):
        variable.set("outer")
        response = get_response(request)
        response["Seen"] = variable.get()
        return response

    return middleware


@pytest.mark.parametrize("place", ["thread", "task"])
async def test_variables_come_back_from_the_view(place):
    def in_thread(request):
        assert variable.get() == "outer"
        variable.set("inner")
        return HttpResponse("ok")

    async def in_task(request):
        return in_thread(request)

    view = in_thread if place == "thread" else in_task
    with site(view, middleware=[f"{HERE}.middleware_on_loop"]) as application:
        reply = await request(application)
    assert dict(reply.headers)[b"Seen"] == b"inner"
