"""
The URLs of the app.
"""

from __future__ import annotations

from django.urls import path

from places.views import api, pages

app_name = "places"

urlpatterns = [
    path("", pages.home, name="home"),
    path("countries/<str:code>/", pages.country, name="country"),
    path("api/cities/", api.search, name="api-search"),
    path("api/cities/<int:city_id>/", api.city, name="api-city"),
    path("api/countries/<str:code>/", api.country, name="api-country"),
]
