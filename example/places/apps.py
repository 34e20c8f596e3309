"""
The app of the example.
"""

from __future__ import annotations

from django.apps import AppConfig


class PlacesConfig(AppConfig):
    """
    Continents, countries and cities.
    """

    name = "places"
