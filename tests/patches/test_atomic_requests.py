"""
``ATOMIC_REQUESTS`` with async views.
"""

from __future__ import annotations

import asyncio

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.db import connection, connections, transaction
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.views import View

from tests.app.models import Author


async def write(request):
    await Author.objects.acreate(name="A")
    return HttpResponse(str(connection.in_atomic_block))


async def fail(request):
    await write(request)
    raise ZeroDivisionError


async def hang(request):
    await write(request)
    Hanging.started.set()
    await asyncio.Event().wait()


class Hanging:
    started: asyncio.Event


@transaction.non_atomic_requests
async def non_atomic(request):
    return await write(request)


class Page(View):
    """
    Django marks what ``as_view()`` returns as a coroutine function.
    """

    async def get(self, request):
        return await write(request)


def sync(request):
    return HttpResponse(str(connection.in_atomic_block))


urlpatterns = [
    path("write/", write),
    path("fail/", fail),
    path("hang/", hang),
    path("non-atomic/", non_atomic),
    path("page/", Page.as_view()),
    path("exempt-page/", transaction.non_atomic_requests(Page.as_view())),
    path("sync/", sync),
]


@pytest.fixture
def atomic_requests(db, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[]):
        yield


@pytest.mark.parametrize("path", ["/write/", "/page/"])
async def test_view_is_in_a_transaction_which_is_committed(atomic_requests, path):
    response = await AsyncClient().get(path)
    assert response.content == b"True"
    assert await Author.objects.acount() == 1


async def test_transaction_is_rolled_back_on_an_exception(atomic_requests):
    client = AsyncClient(raise_request_exception=False)
    response = await client.get("/fail/")
    assert response.status_code == 500
    assert await Author.objects.acount() == 0


async def test_transaction_is_rolled_back_on_a_disconnect(atomic_requests):
    Hanging.started = asyncio.Event()
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/hang/",
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
    }
    communicator = ApplicationCommunicator(get_asgi_application(), scope)
    await communicator.send_input({"type": "http.request"})
    await Hanging.started.wait()
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait()
    assert await Author.objects.acount() == 0


@pytest.mark.parametrize("path", ["/non-atomic/", "/exempt-page/"])
async def test_view_that_is_exempt_is_not_in_a_transaction(atomic_requests, path):
    response = await AsyncClient().get(path)
    assert response.content == b"False"


def test_sync_view_is_still_in_a_transaction(atomic_requests):
    assert Client().get("/sync/").content == b"True"


def test_async_view_under_wsgi(atomic_requests):
    assert Client().get("/write/").content == b"True"
    assert Author.objects.count() == 1
    with pytest.raises(ZeroDivisionError):
        Client().get("/fail/")
    assert Author.objects.count() == 1
