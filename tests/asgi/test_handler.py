"""
Requests are answered as Django's own handler answers them.
"""

from __future__ import annotations

import itertools
import types
from http import HTTPStatus

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core import asgi as stock
from django.core.exceptions import (
    MiddlewareNotUsed,
    PermissionDenied,
    SuspiciousOperation,
)
from django.http import Http404, HttpResponse, JsonResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import path, reverse
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin
from django.views import View

from django_evergreen.asgi import get_asgi_application, on_loop

from .exchange import request, site

HERE = __name__


def sync(request):
    response = HttpResponse("sync", headers={"X-A": "a"})
    response.set_cookie("name", "value")
    return response


async def asynchronous(request):
    return JsonResponse({"method": request.method, "body": request.body.decode()})


class SyncClass(View):
    def get(self, request):
        return HttpResponse("class")


class AsyncClass(View):
    async def get(self, request):
        return HttpResponse("async class")


def template(request):
    text = engines["django"].from_string("{{ request.path }} {{ from }}")
    return TemplateResponse(request, text)


async def async_template(request):
    return template(request)


def not_found(request):
    raise Http404("not there")


def forbidden(request):
    raise PermissionDenied


def suspicious(request):
    raise SuspiciousOperation


def fails(request):
    raise ZeroDivisionError


async def fails_awaited(request):
    raise ZeroDivisionError


def none(request):
    return None


VIEWS = [
    sync,
    asynchronous,
    SyncClass.as_view(),
    AsyncClass.as_view(),
    template,
    async_template,
    not_found,
    forbidden,
    suspicious,
    fails,
    fails_awaited,
    none,
]


async def both_replies(application, path, **options):
    """
    Return our reply after having compared it to that of Django's own handler.
    """
    ours = await request(application, path, **options)
    theirs = await request(stock.get_asgi_application(), path, **options)
    assert ours == theirs
    return ours


PATHS = [f"/{getattr(view, '__name__', view)}/" for view in VIEWS]


@pytest.mark.parametrize("view", VIEWS, ids=PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_response_is_the_same(db, view, method):
    with site(view) as application:
        await both_replies(application, "/", method=method, body=b"body")
        await both_replies(application, "/nowhere/", method=method)


@pytest.mark.parametrize("view", VIEWS, ids=PATHS)
async def test_status_is_the_same_in_debug(db, view):
    with site(view, DEBUG=True) as application:
        for path in ("/", "/nowhere/"):
            ours = await request(application, path)
            theirs = await request(stock.get_asgi_application(), path)
            assert ours.status == theirs.status


async def test_response_is_the_same_with_the_default_middleware(db):
    with site(sync, asynchronous, middleware=settings.MIDDLEWARE) as application:
        await both_replies(application, "/sync/")
        await both_replies(application, "/asynchronous")
        await both_replies(application, "/asynchronous/", method="POST")


# Handlers of errors


def handler(request, exception=None):
    text = f"handled {type(exception).__name__}"
    return HttpResponse(text, status=HTTPStatus.IM_A_TEAPOT)


async def async_handler(request, exception=None):
    return handler(request, exception)


HANDLERS = ["handler400", "handler403", "handler404", "handler500"]
ERRORS = ["/not_found/", "/forbidden/", "/suspicious/", "/fails/", "/nowhere/"]


@pytest.mark.parametrize("path", ERRORS)
async def test_handlers_of_errors_are_called(path):
    handlers = dict.fromkeys(HANDLERS, handler)
    with site(*VIEWS, **handlers) as application:
        reply = await both_replies(application, path)
        assert reply.status == HTTPStatus.IM_A_TEAPOT


@pytest.mark.parametrize("path", ERRORS)
@pytest.mark.parametrize("declare", [lambda fn: fn, on_loop])
async def test_handlers_of_errors_may_be_async(path, declare):
    handlers = dict.fromkeys(HANDLERS, async_handler)
    with site(*map(declare, VIEWS), **handlers) as application:
        reply = await request(application, path)
        assert reply.status == HTTPStatus.IM_A_TEAPOT
        assert reply.text.startswith("handled")


# Middleware


def note(request, text):
    trace = request.trace = getattr(request, "trace", [])
    trace.append(text)


class SyncOnly:
    """
    Middleware with every hook, which are noted in the order of their calls.
    """

    async_capable = False

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        note(request, "sync")
        response = self.get_response(request)
        note(request, "sync'")
        response["Trace"] = " ".join(request.trace)
        return response

    def process_view(self, request, view, args, kwargs):
        note(request, "sync view")

    def process_exception(self, request, exception):
        note(request, "sync exception")
        return HttpResponse("caught") if "catch" in request.GET else None

    def process_template_response(self, request, response):
        note(request, "sync template")
        response.context_data = {"from": "sync"}
        return response


class AsyncOnly:
    sync_capable, async_capable = False, True

    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        note(request, "async")
        response = await self.get_response(request)
        note(request, "async'")
        response["Trace"] = " ".join(request.trace)
        return response

    async def process_view(self, request, view, args, kwargs):
        note(request, "async view")

    async def process_exception(self, request, exception):
        note(request, "async exception")

    async def process_template_response(self, request, response):
        note(request, "async template")
        return response


class Mixed(MiddlewareMixin):
    def process_request(self, request):
        note(request, "mixed")

    def process_response(self, request, response):
        note(request, "mixed'")
        response["Trace"] = " ".join(request.trace)
        return response


@sync_and_async_middleware
def function(get_response):
    if not iscoroutinefunction(get_response):

        def middleware(request):
            note(request, "function")
            return get_response(request)

        return middleware

    async def async_middleware(request):
        note(request, "function")
        return await get_response(request)

    return async_middleware


@on_loop
class OnLoop(SyncOnly):
    pass


def not_used(get_response):
    raise MiddlewareNotUsed


KINDS = ["SyncOnly", "AsyncOnly", "Mixed", "function", "not_used"]
ORDERS = [
    *itertools.permutations(KINDS[:3]),
    ["function", "SyncOnly", "not_used", "AsyncOnly"],
    ["AsyncOnly", "not_used", "function", "SyncOnly", "Mixed"],
    ["OnLoop", "AsyncOnly", "OnLoop", "SyncOnly", "Mixed"],
]


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
async def test_hooks_of_middleware_are_called_in_the_same_order(order):
    middleware = [f"{HERE}.{name}" for name in order]
    with site(*VIEWS, middleware=middleware) as application:
        for path in ("/sync/", "/AsyncClass/", "/template/", "/fails_awaited/"):
            for query in (b"", b"catch"):
                reply = await both_replies(application, path, query=query)
                assert dict(reply.headers)[b"Trace"]
        await both_replies(application, "/nowhere/")


class Refusing:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if "raise" in request.GET:
            raise PermissionDenied
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        if "short" in request.GET:
            return HttpResponse("short")
        return None


async def test_middleware_may_answer_in_place_of_the_view():
    with site(none, middleware=[f"{HERE}.Refusing"]) as application:
        assert (await both_replies(application, "/", query=b"raise")).status == 403
        assert (await both_replies(application, "/", query=b"short")).text == "short"


async def test_other_protocols_are_refused():
    with site(sync) as application, pytest.raises(ValueError, match="websocket"):
        await application({"type": "websocket"}, None, None)


async def test_mounted_application_knows_its_prefix():
    async def where(request):
        return HttpResponse(reverse("there") + " " + request.path)

    def there(request):
        return None

    urls = types.ModuleType("urls")
    urls.urlpatterns = [path("where/", where), path("there/", there, name="there")]
    with override_settings(ROOT_URLCONF=urls, FORCE_SCRIPT_NAME="/sub", MIDDLEWARE=[]):
        reply = await request(get_asgi_application(), "/sub/where/")
    assert reply.text == "/sub/there/ /sub/where/"
