"""
Decorated and class-based views are answered as Django's own handler answers them.
"""

from __future__ import annotations

import types

import pytest
from django.contrib.auth.decorators import (
    login_required,
    permission_required,
    user_passes_test,
)
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core import asgi as stock
from django.core.cache import cache
from django.db import connections
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_control, cache_page, never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import (
    csrf_exempt,
    csrf_protect,
    ensure_csrf_cookie,
)
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import etag, require_GET
from django.views.decorators.vary import vary_on_headers
from django.views.generic import RedirectView

from django_evergreen.asgi import get_asgi_application

from ..app.models import Author
from .exchange import request


async def asynchronous(request):
    return HttpResponse(f"There are {await Author.objects.acount()}." + "x" * 500)


def sync(request):
    return HttpResponse(f"There are {Author.objects.count()}." + "x" * 500)


async def refuse(user):
    return False


class Page(View):
    async def get(self, request):
        return await asynchronous(request)


@method_decorator(login_required, name="dispatch")
class PageOfUsers(Page):
    pass


class MixedPage(LoginRequiredMixin, Page):
    pass


DECORATORS = {
    "cache_control": cache_control(max_age=3),
    "cache_page": cache_page(10),
    "csrf_exempt": csrf_exempt,
    "csrf_protect": csrf_protect,
    "ensure_csrf_cookie": ensure_csrf_cookie,
    "etag": etag(lambda request: "tag"),
    "gzip_page": gzip_page,
    "login_required": login_required,
    "never_cache": never_cache,
    "permission_required": permission_required("app.change"),
    "require_GET": require_GET,
    "sensitive_post_parameters": sensitive_post_parameters(),
    "user_passes_test": user_passes_test(lambda user: False),
    "user_passes_async_test": user_passes_test(refuse),
    "vary_on_headers": vary_on_headers("X-A"),
    "xframe_options_exempt": xframe_options_exempt,
}
VIEWS = {
    f"{name}_{view.__name__}": decorate(view)
    for name, decorate in DECORATORS.items()
    for view in (sync, asynchronous)
}
CLASSES = [RedirectView, Page, PageOfUsers, MixedPage]
VIEWS |= {cls.__name__: cls.as_view() for cls in CLASSES}

# They differ from reply to reply.
CHANGING = {b"Age", b"Content-Length", b"Expires", b"Set-Cookie"}


@pytest.fixture(params=[False, True], ids=["", "atomic"])
def atomic_requests(request, db, monkeypatch):
    settings = connections.settings["default"]
    monkeypatch.setitem(settings, "ATOMIC_REQUESTS", request.param)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_decorated_view_is_answered_as_by_stock(atomic_requests, name, method):
    urls = types.ModuleType("urls_of_a_test")
    urls.urlpatterns = [path("", VIEWS[name])]
    middleware = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=middleware):
        ours = await two_replies(get_asgi_application(), method)
        theirs = await two_replies(stock.get_asgi_application(), method)
    assert ours == theirs


async def two_replies(application, method):
    """
    Return what the same request is answered with twice, as the second answer may
    come from the cache.
    """
    await cache.aclear()
    headers = [(b"accept-encoding", b"gzip")]
    replies = [
        await request(application, method=method, headers=headers) for _ in range(2)
    ]
    return [comparable(reply) for reply in replies]


def comparable(reply):
    headers = [header for header in reply.headers if header[0] not in CHANGING]
    # gzip pads at random.
    is_zipped = (b"Content-Encoding", b"gzip") in headers
    return reply.status, headers, None if is_zipped else reply.body
