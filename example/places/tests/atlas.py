"""
A small atlas for the tests, in sync code as tests of Django have it.
"""

from __future__ import annotations

from unittest import skipIf

from atlas.stack import STACK
from places.models import City, Continent, Country, Currency, Language

# For tests of what stock Django can't do.
needs_evergreen = skipIf(STACK == "stock", "The stack is stock Django.")


def make_atlas() -> None:
    """
    Save two neighbours, what they share, and four cities.
    """
    europe = Continent.objects.create(code="EU", name="Europe")
    euro = Currency.objects.create(code="EUR", name="Euro")
    french = Language.objects.create(code="fr", name="French")
    france = _country(code="FR", name="France", continent=europe, currency=euro)
    belgium = _country(code="BE", name="Belgium", continent=europe, currency=euro)
    france.neighbours.add(belgium)
    french.countries.add(france, belgium)
    _city(id=1, name="Paris", country=france, population=2_100_000)
    _city(id=2, name="Pau", country=france, population=80_000)
    _city(id=3, name="Lyon", country=france, population=500_000)
    _city(id=4, name="Brussels", country=belgium, population=1_000_000)


def _country(**fields: object) -> Country:
    return Country.objects.create(area_km2=1, population=1, **fields)


def _city(**fields: object) -> City:
    return City.objects.create(
        latitude=48.5, longitude=2.5, timezone="Europe/Paris", **fields
    )
