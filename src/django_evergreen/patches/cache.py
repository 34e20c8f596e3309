"""
The cache: which of its backends block.

For Django 5.2 to 6.1. The backends in memory and in the database run in the
bridge, and so does this package's own for Redis. The others that speak to a socket
or to files block: their ``a``-methods keep their thread, and in the bridge, where
Django's middleware and sessions call them, the sync ones have one, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.base import BaseCache

from ..bridge import in_bridge, offload
from ._call_sites import call_sites
from ._patch import Patch

_IN_BRIDGE = frozenset(
    {
        "django.core.cache.backends.db",
        "django.core.cache.backends.dummy",
        "django.core.cache.backends.locmem",
        "django_evergreen.cache.redis",
    }
)

# The methods of a cache that speak to it.
_METHODS = (
    "add",
    "clear",
    "decr",
    "decr_version",
    "delete",
    "delete_many",
    "get",
    "get_many",
    "get_or_set",
    "has_key",
    "incr",
    "incr_version",
    "set",
    "set_many",
    "touch",
)


def needs_no_thread(fn: Any) -> bool:
    """
    Return whether a bound method belongs to a cache that doesn't block the loop.
    """
    return not blocks(type(getattr(fn, "__self__", None)))


def blocks(backend: type) -> bool:
    """
    Return whether the methods of a cache backend block the loop.
    """
    return not any(cls.__module__ in _IN_BRIDGE for cls in backend.__mro__)


def _make_create_connection(original: Any) -> Any:
    @functools.wraps(original)
    def create_connection(self: Any, alias: str) -> Any:
        cache = original(self, alias)
        if blocks(type(cache)):
            cache.__class__ = _offloaded(type(cache))  # type: ignore[arg-type]
        return cache

    return create_connection


@functools.cache
def _offloaded(backend: type) -> type:
    """
    Return a subclass whose methods have a thread in the bridge.
    """
    # Not the methods of the base class, which call those. Django tells by them what a
    # backend does by itself.
    own = [n for n in _METHODS if getattr(backend, n) is not getattr(BaseCache, n)]
    methods = {name: _in_thread(backend, name) for name in own}
    names = {"__module__": backend.__module__, "__qualname__": backend.__qualname__}
    return type(backend.__name__, (backend,), {**names, **methods})


def _in_thread(backend: type, name: str) -> Callable[..., Any]:
    @functools.wraps(getattr(backend, name))
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = getattr(backend, name)
        if in_bridge():
            return offload(call, self, *args, **kwargs)
        return call(self, *args, **kwargs)

    return method


PATCHES = [
    call_sites("django.core.cache.backends.base", needs_no_thread),
    Patch(
        "django.core.cache:CacheHandler", "create_connection", _make_create_connection
    ),
]
