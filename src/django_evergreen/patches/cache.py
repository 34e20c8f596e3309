"""
The cache: ``a``-methods of backends.

For Django 5.2 to 6.1. The backends in memory and in the database run in the
bridge. Those that speak to a socket or to files block: they keep their thread.
"""

from __future__ import annotations

from typing import Any

from ._call_sites import call_sites

_ON_LOOP = frozenset(
    f"django.core.cache.backends.{name}" for name in ("db", "dummy", "locmem")
)


def is_in_memory_or_database(fn: Any) -> bool:
    """
    Return whether a bound method belongs to a cache that doesn't block.
    """
    return any(
        cls.__module__ in _ON_LOOP
        for cls in type(getattr(fn, "__self__", None)).__mro__
    )


PATCHES = [call_sites("django.core.cache.backends.base", is_in_memory_or_database)]
