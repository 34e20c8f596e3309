"""
Views, sync and async, and the URLs of the packages.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque

from auditlog.models import LogEntry
from django.apps import apps
from django.contrib import admin, messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import include, path
from django.utils.translation import gettext
from django.views.generic import TemplateView
from reversion.models import Version
from waffle.utils import get_setting

from .models import Article

_waiting = defaultdict(deque)


def _count_of_requests():
    # Not those that have read a file, or hashed a password, for another test.
    names = [thread.name for thread in threading.enumerate()]
    return sum(not name.startswith("asyncio_") for name in names)


async def meet(request, size):
    """
    Wait until there are as many; tell how many threads requests have then.
    """
    user = await request.auser()
    await Article.objects.acount()
    waiting = _waiting[size]
    waiting.append(asyncio.get_running_loop().create_future())
    mine = waiting[-1]
    if len(waiting) == size:
        while waiting:
            waiting.pop().set_result(_count_of_requests())
    return JsonResponse({"threads": await mine, "user": user.username})


async def count_threads(request):
    return JsonResponse({"threads": threading.active_count()})


async def page(request):
    user = await request.auser()
    visits = await request.session.aget("visits", 0) + 1
    await request.session.aset("visits", visits)
    return JsonResponse(
        {
            "user": user.username,
            "visits": visits,
            "articles": await Article.objects.filter(title="none").acount(),
            "is_htmx": bool(getattr(request, "htmx", False)),
            "yes": gettext("Yes"),
            "site": request.site.domain,
        }
    )


def flag(request):
    """
    Have a package's middleware set a cookie.
    """
    request.waffles = {"flag": [True, False]}
    return HttpResponse(get_setting("COOKIE"))


async def articles(request):
    article = await Article.objects.acreate(title=request.POST["title"])
    return JsonResponse({"pk": article.pk})


async def who_made(request, pk):
    """
    Tell whom each package has recorded.
    """
    article = await Article.objects.aget(pk=pk)
    record = await article.history.select_related("history_user").aget()
    version = await Version.objects.select_related("revision__user").aget(object_id=pk)
    entry = await LogEntry.objects.select_related("actor").aget(object_pk=str(pk))
    return JsonResponse(
        {
            "simple_history": record.history_user.username,
            "reversion": version.revision.user.username,
            "auditlog": entry.actor.username,
            "address": entry.remote_addr,
        }
    )


async def queries(request, name, size):
    """
    Make queries by turns with other requests.
    """
    for number in range(3):
        await Article.objects.filter(title=f"<{name}-{number}>").aexists()
        await meet(request, size)
    return HttpResponse(f"<html><body>{name}</body></html>")


def wants_toolbar(request):
    return "toolbar" in request.GET


async def add_message(request):
    messages.success(request, "It was added.")
    return redirect("template")


urlpatterns = [
    path("__debug__/", include("debug_toolbar.urls")),
    path("admin/", admin.site.urls),
    path("articles/", articles),
    path("articles/<int:pk>/", who_made),
    path("auth/", include("django.contrib.auth.urls")),
    path("flag/", flag),
    path("i18n/", include("django.conf.urls.i18n")),
    path("meet/<int:size>/", meet),
    path("message/", add_message),
    path("page/", page),
    path("queries/<name>/<int:size>/", queries),
    path("template/", TemplateView.as_view(template_name="page.html"), name="template"),
    path("threads/", count_threads),
]
if apps.is_installed("allauth"):
    urlpatterns.append(path("accounts/", include("allauth.urls")))
