"""
Sessions: the ``a``-methods of session stores.

For Django 5.2 to 6.1. Stores that Django brings wait for the database or the
cache. The one that reads files, and those of others, keep their thread.
"""

from __future__ import annotations

from typing import Any

from .._placing import runs_on_loop
from ._call_sites import call_sites


def waits_for_database(fn: Any) -> bool:
    return runs_on_loop(fn) and fn.__module__ != "django.contrib.sessions.backends.file"


PATCHES = [
    call_sites("django.contrib.sessions.backends.base", waits_for_database),
    call_sites("django.contrib.sessions.backends.db"),
]
