"""
What generated tests request.
"""

from __future__ import annotations

from django.http import JsonResponse
from django.urls import path

from tests.app.models import Author

from .lines import ROWS


def rows(request):
    return ROWS.filter(name__startswith=request.GET["rows"]).values_list(
        "name", flat=True
    )


def write(request):
    Author.objects.create(name=request.GET["name"])
    return JsonResponse(list(rows(request)), safe=False)


async def awrite(request):
    await Author.objects.acreate(name=request.GET["name"])
    return JsonResponse([name async for name in rows(request)], safe=False)


urlpatterns = [path("sync/", write), path("async/", awrite)]
