"""
Mode requests: what Django's tests know as its handlers is this package's.
"""

from __future__ import annotations

import contextlib
import threading
import types

import pytest
from asgiref.testing import ApplicationCommunicator
from conformance import modes
from django import test
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core import asgi
from django.core.handlers import asgi as asgi_handlers
from django.http import HttpResponse
from django.test import client, override_settings
from django.urls import path

from django_evergreen.asgi import on_loop
from django_evergreen.asgi._chain import Chain
from django_evergreen.bridge import await_, in_bridge

HERE = __name__
MODE = modes.load("requests")


def place():
    if threading.current_thread() is threading.main_thread():
        return "bridge" if in_bridge() else "loop"
    return "thread"


def sync_view(request):
    return HttpResponse(place())


async def async_view(request):
    return HttpResponse(place())


@on_loop
def view_on_loop(request):
    return HttpResponse(place())


VIEWS = {"sync_view": "thread", "async_view": "loop", "view_on_loop": "bridge"}


@pytest.fixture(autouse=True)
def views():
    urls = types.ModuleType("urls_of_a_test")
    urls.urlpatterns = [path(f"{name}/", globals()[name]) for name in VIEWS]
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=[]):
        yield


def served(get):
    """
    Return the text of each view, and how many requests the mode has counted.
    """
    before = MODE.requests()
    replies = MODE.around_session(lambda: {name: get(f"/{name}/") for name in VIEWS})
    return replies, MODE.requests() - before


def test_sync_client_is_served_by_our_chain():
    assert served(lambda path: test.Client().get(path).text) == (VIEWS, 3)


def test_async_client_is_served_by_our_chain():
    def get(path):
        return await_(test.AsyncClient().get(path)).text

    assert served(get) == (VIEWS, 3)


@pytest.mark.parametrize("wrap", [lambda app: app, ASGIStaticFilesHandler])
def test_asgi_application_is_ours(wrap):
    async def body(path):
        scope = test.AsyncRequestFactory()._base_scope(path=path)
        communicator = ApplicationCommunicator(wrap(asgi.get_asgi_application()), scope)
        await communicator.send_input({"type": "http.request"})
        await communicator.receive_output(timeout=20)
        message = await communicator.receive_output(timeout=20)
        await communicator.wait(timeout=20)
        return message["body"].decode()

    with override_settings(STATIC_URL="/static/"):
        assert served(lambda path: await_(body(path))) == (VIEWS, 3)


def test_request_in_a_thread_of_the_test_is_not_counted():
    def get(path):
        def target():
            replies.append(test.Client().get(path).text)

        replies = []
        thread = threading.Thread(target=target)
        thread.start()
        thread.join(20)
        return replies

    _, count = served(get)
    assert count == 0


HANDLERS = [
    (asgi, "ASGIHandler"),
    (asgi_handlers, "ASGIHandler"),
    (client, "ClientHandler"),
    (client, "AsyncClientHandler"),
]


def test_handlers_of_django_are_put_back():
    before = [getattr(*handler) for handler in HANDLERS]

    def session():
        assert all(issubclass(getattr(*handler), Chain) for handler in HANDLERS)
        raise ZeroDivisionError

    with contextlib.suppress(ZeroDivisionError):
        MODE.around_session(session)
    assert [getattr(*handler) for handler in HANDLERS] == before


@pytest.mark.parametrize(
    ("module", "is_selected"),
    [
        ("view_tests.tests.test_i18n", True),
        ("asgi.tests", True),
        ("basic.tests", False),
    ],
)
def test_tests_that_make_requests_are_selected(module, is_selected):
    case = type("Case", (), {"__module__": module})
    assert MODE.selects(case()) is is_selected
