"""
The URLs of the project.
"""

from __future__ import annotations

from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path

urlpatterns = [
    path("", include("places.urls")),
    path("admin/", admin.site.urls),
    # The admin's styles. Empty unless EXAMPLE_DEBUG=1.
    *staticfiles_urlpatterns(),
]
