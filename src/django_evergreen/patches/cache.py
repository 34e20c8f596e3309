"""
The cache: ``a``-methods of backends.

For Django 5.2 to 6.1. The backends in memory and in the database run in the
bridge, and so does this package's own for Redis. The others that speak to a socket
or to files block: they keep their thread.
"""

from __future__ import annotations

from typing import Any

from ._call_sites import call_sites

_IN_BRIDGE = frozenset(
    {
        "django.core.cache.backends.db",
        "django.core.cache.backends.dummy",
        "django.core.cache.backends.locmem",
        "django_evergreen.cache.redis",
    }
)


def needs_no_thread(fn: Any) -> bool:
    """
    Return whether a bound method belongs to a cache that doesn't block the loop.
    """
    return any(
        cls.__module__ in _IN_BRIDGE
        for cls in type(getattr(fn, "__self__", None)).__mro__
    )


PATCHES = [call_sites("django.core.cache.backends.base", needs_no_thread)]
