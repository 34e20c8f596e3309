"""
Views for tests of the cache in requests.
"""

from __future__ import annotations

import itertools

from django.http import HttpResponse
from django.urls import path

numbers = itertools.count(1)


def number(request):
    return HttpResponse(str(next(numbers)))


async def visits(request):
    seen = await request.session.aget("seen", 0) + 1
    await request.session.aset("seen", seen)
    return HttpResponse(str(seen))


urlpatterns = [path("number/", number), path("visits/", visits)]
