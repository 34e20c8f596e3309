"""
Authentication: backends and decorators.

For Django 5.2 to 6.1. Backends of others may ask a directory server, and tests
of ``user_passes_test`` may do anything: they keep their thread.
"""

from __future__ import annotations

from ._call_sites import call_sites, is_django_s

AUTH = "django.contrib.auth"

PATCHES = [
    call_sites("django.contrib.auth.backends", is_django_s, app=AUTH),
    call_sites("django.contrib.auth.decorators", is_django_s, app=AUTH),
    call_sites("django.contrib.auth.middleware", is_django_s, app=AUTH, until=(6, 1)),
]
