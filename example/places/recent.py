"""
The countries a visitor has looked at lately, kept in the session.
"""

from __future__ import annotations

from django.contrib.sessions.backends.base import SessionBase

from places.models import Country

KEY = "recent_countries"
LENGTH = 5


async def remember(session: SessionBase, country: Country) -> None:
    """
    Put ``country`` first.
    """
    codes = [code for code in await session.aget(KEY, []) if code != country.code]
    await session.aset(KEY, [country.code, *codes][:LENGTH])


async def recent_countries(session: SessionBase) -> list[Country]:
    """
    Return the countries, the latest first.
    """
    codes = await session.aget(KEY, [])
    countries = await Country.objects.ain_bulk(codes)
    return [countries[code] for code in codes if code in countries]
