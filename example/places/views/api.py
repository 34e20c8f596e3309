"""
JSON for programs. Plain async Django: nothing here knows of evergreen.
"""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.shortcuts import aget_object_or_404

from places.models import City, Country

LARGEST = 10
FOUND_AT_MOST = 20


async def city(request: HttpRequest, city_id: int) -> JsonResponse:
    """
    One city with its country and continent, in one query.
    """
    cities = City.objects.select_related("country__continent")
    city = await aget_object_or_404(cities, id=city_id)
    return JsonResponse(
        {
            **_brief(city),
            "latitude": city.latitude,
            "longitude": city.longitude,
            "timezone": city.timezone,
            "country": {"code": city.country.code, "name": city.country.name},
            "continent": city.country.continent.name,
        }
    )


async def country(request: HttpRequest, code: str) -> JsonResponse:
    """
    One country with its neighbours, languages and largest cities.
    """
    countries = Country.objects.select_related("continent", "currency")
    countries = countries.prefetch_related("languages", "neighbours")
    country = await aget_object_or_404(countries, code=code.upper())
    largest = country.cities.order_by("-population")[:LARGEST]
    return JsonResponse(
        {
            "code": country.code,
            "name": country.name,
            "capital": country.capital,
            "population": country.population,
            "continent": country.continent.name,
            "currency": country.currency and country.currency.name,
            "languages": [language.name for language in country.languages.all()],
            "neighbours": [neighbour.code for neighbour in country.neighbours.all()],
            "largest_cities": [_brief(city) async for city in largest],
        }
    )


async def search(request: HttpRequest) -> JsonResponse:
    """
    The largest cities whose names start with ``?q=``.
    """
    found = City.objects.filter(name__istartswith=request.GET.get("q", ""))
    cities = [_brief(city) async for city in found[:FOUND_AT_MOST]]
    return JsonResponse({"cities": cities})


def _brief(city: City) -> dict[str, object]:
    return {"id": city.id, "name": city.name, "population": city.population}
