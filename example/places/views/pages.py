"""
Pages for people. The templates follow relations lazily, inside async views.

``render`` is sync code that runs queries. With evergreen, ``run_sync`` runs it right
here on the event loop, suspending at each query; with stock Django, in a thread.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, render

from atlas.stack import run_sync
from places.models import Continent, Country
from places.recent import recent_countries, remember


async def home(request: HttpRequest) -> HttpResponse:
    """
    Every country, by continent, and those seen lately.
    """
    context = {
        "continents": Continent.objects.all(),
        "recent": await recent_countries(request.session),
    }
    return await run_sync(render, request, "places/home.html", context)


async def country(request: HttpRequest, code: str) -> HttpResponse:
    """
    One country. Only itself is fetched here, the rest where the template asks.
    """
    country = await aget_object_or_404(Country, code=code.upper())
    await remember(request.session, country)
    return await run_sync(render, request, "places/country.html", {"country": country})
