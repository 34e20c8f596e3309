"""
The request: Django's own sync middleware, views and template rendering.

For Django 5.2 to 6.1. Under ASGI, Django calls each of them in a thread. Its
own run in the bridge; those of others may block, and keep their thread.
"""

from __future__ import annotations

from ._call_sites import call_sites, is_django_s

PATCHES = [
    call_sites("django.utils.deprecation", is_django_s),
    call_sites("django.core.handlers.base", is_django_s),
    call_sites("django.core.handlers.asgi", is_django_s),
]
