"""
What Django's own tests found, when their requests were served by this package.
"""

from __future__ import annotations

import logging

import pytest
from asgiref.sync import markcoroutinefunction
from django.db import connection
from django.http import HttpResponse
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils.decorators import async_only_middleware

from django_evergreen.asgi import on_loop
from django_evergreen.asgi._chain import Chain

from ..app.models import Author
from .exchange import request, site
from .test_threads import answer, place

HERE = __name__


class AsyncRendered(HttpResponse):
    async def render(self):
        self.content = place()
        return self


class SyncRendered(HttpResponse):
    def render(self):
        self.content = place()
        return self


@pytest.mark.parametrize("paths", [[], [HERE]])
async def test_responses_may_have_an_async_render(paths):
    async def asynchronous(request):
        return AsyncRendered()

    def sync(request):
        return AsyncRendered()

    with site(asynchronous, sync, EVERGREEN={"ON_LOOP": paths}) as application:
        assert (await request(application)).text == "loop"
        assert (await request(application, "/sync/")).text == "loop"


async def test_render_of_others_runs_in_a_thread():
    @on_loop
    def view(request):
        return SyncRendered()

    with site(view) as application:
        assert (await request(application)).text == "thread"


@async_only_middleware
class Answering:
    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        return await self.get_response(request)

    async def process_exception(self, request, exception):
        return answer(exception)


async def test_error_of_an_async_render_is_processed_by_middleware():
    async def view(request):
        class Broken(HttpResponse):
            async def render(self):
                raise ValueError("not rendered")

        return Broken()

    with site(view, middleware=[f"{HERE}.Answering"]) as application:
        assert (await request(application)).text == "not rendered"


def neither_sync_nor_async(get_response):
    raise AssertionError("Django refuses it.")


neither_sync_nor_async.sync_capable = False
neither_sync_nor_async.async_capable = False


def test_middleware_that_is_neither_sync_nor_async_is_refused():
    middleware = [f"{HERE}.neither_sync_nor_async"]
    refused = pytest.raises(RuntimeError, match="at least one of sync_capable")
    with refused, site(answer, middleware=middleware):
        pass


def test_async_middleware_is_logged_in_debug(caplog):
    caplog.set_level(logging.DEBUG, "django.request")
    name = f"{HERE}.Answering"
    with override_settings(MIDDLEWARE=[name], DEBUG=True):
        Chain().load_middleware()
    expected = f"Synchronous handler adapted for middleware {name}."
    assert caplog.messages[0] == expected


async def test_queries_of_a_thread_are_logged_with_their_parameters(db):
    queries = []

    def view(request):
        with CaptureQueriesContext(connection) as captured:
            list(Author.objects.filter(name="it's me"))
        queries.extend(captured.captured_queries)
        return answer()

    with site(view) as application:
        assert (await request(application)).text == "thread"
    (query,) = queries
    assert "it''s me" in query["sql"]
