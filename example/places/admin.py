"""
The admin, which is sync code throughout, and stays so.
"""

from __future__ import annotations

from django.contrib import admin

from places.models import City, Continent, Country, Currency, Language


@admin.register(Continent, Currency, Language)
class NamedAdmin(admin.ModelAdmin):
    """
    Things with a code and a name.
    """

    list_display = ["name", "code"]
    search_fields = ["name", "code"]


@admin.register(Country)
class CountryAdmin(admin.ModelAdmin):
    """
    Countries, searched by their names and capitals.
    """

    list_display = ["name", "code", "capital", "continent", "currency", "population"]
    list_filter = ["continent"]
    list_select_related = ["continent", "currency"]
    search_fields = ["name", "code", "capital"]
    autocomplete_fields = ["currency", "languages", "neighbours"]


@admin.register(City)
class CityAdmin(admin.ModelAdmin):
    """
    Cities with their countries' continents, in one query.
    """

    list_display = ["name", "country", "continent", "population", "timezone"]
    list_filter = ["country__continent"]
    list_select_related = ["country__continent"]
    search_fields = ["name", "country__name"]
    autocomplete_fields = ["country"]

    @admin.display(ordering="country__continent__name")
    def continent(self, city: City) -> str:
        return city.country.continent.name
