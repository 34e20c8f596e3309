"""
A project for the doctor: code of each kind, which notes the thread that it runs in.
"""

from __future__ import annotations

import functools
import threading

from asgiref.sync import markcoroutinefunction
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.urls import include, path
from django.utils.deprecation import MiddlewareMixin
from django.views.decorators.cache import never_cache
from django.views.generic import RedirectView, View

from django_evergreen.asgi import in_thread, on_loop

# The idents of the threads in which each has run.
ran = {}


def note(name):
    ran.setdefault(name, set()).add(threading.get_ident())


class Mixed(MiddlewareMixin):
    def process_request(self, request):
        note(f"{self.label}.process_request")

    def process_view(self, request, *args):
        note(f"{self.label}.process_view")

    def process_response(self, request, response):
        note(f"{self.label}.process_response")
        return response


class AsyncCapable(Mixed):
    label = "AsyncCapable"


class SyncOnly(Mixed):
    label = "SyncOnly"
    async_capable = False


@on_loop
class Marked(Mixed):
    label = "Marked"
    async_capable = False


@in_thread
class Blocking(Mixed):
    label = "Blocking"


class AsyncOnly:
    sync_capable, async_capable = False, True

    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        note("AsyncOnly")
        return await self.get_response(request)

    async def process_view(self, request, *args):
        note("AsyncOnly.process_view")


def plain(get_response):
    def middleware(request):
        note("plain")
        return get_response(request)

    return middleware


def answer(name):
    note(name)
    return HttpResponse(name)


def blocks(request):
    return answer("blocks")


def blocks_too(request):
    return answer("blocks_too")


async def is_async(request):
    return answer("is_async")


@never_cache
@on_loop
@login_not_required
def is_marked(request):
    return answer("is_marked")


@in_thread
def must_not_hold_the_loop(request):
    return answer("must_not_hold_the_loop")


def with_options(request, name):
    return answer(name)


class Page(View):
    def get(self, request):
        return answer("Page")


class AsyncPage(View):
    async def get(self, request):
        return answer("AsyncPage")


def page_not_found(request, exception):
    note("page_not_found")
    return HttpResponse("not found", status=404)


def receiver(**kwargs):
    note("receiver")


handler404 = "tests.doctor_project.page_not_found"

urlpatterns = [
    path("blocks/", blocks),
    path("blocks/too/", blocks_too),
    path("is/async/", is_async),
    path("is/marked/", is_marked),
    path("in/thread/", must_not_hold_the_loop),
    path("with/options/", functools.partial(with_options, name="with_options")),
    path("pages/", include([path("sync/", Page.as_view())])),
    path("pages/async/", AsyncPage.as_view()),
    path("django/", RedirectView.as_view(url="/is/async/")),
]
