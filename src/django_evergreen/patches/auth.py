"""
Authentication: backends and decorators.

For Django 5.2 to 6.1. Backends of others may ask a directory server, and tests
of ``user_passes_test`` may do anything: they keep their thread.
"""

from __future__ import annotations

from .._placing import runs_on_loop
from ._call_sites import call_sites

AUTH = "django.contrib.auth"

PATCHES = [
    call_sites("django.contrib.auth.backends", runs_on_loop, app=AUTH),
    call_sites("django.contrib.auth.decorators", runs_on_loop, app=AUTH),
    call_sites("django.contrib.auth.middleware", runs_on_loop, app=AUTH, until=(6, 1)),
]
