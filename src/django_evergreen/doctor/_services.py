"""
Which databases, caches and sessions let other requests run while they wait.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.db import connections

from .._placing import Place, name_of
from ..db._wrapper import ScopedWrapper
from ..patches.cache import needs_no_thread
from ..patches.sessions import waits_for_database
from ._code import unknown
from ._findings import Finding

SESSION_MIDDLEWARE = "django.contrib.sessions.middleware.SessionMiddleware"


def find_databases() -> Iterator[Finding]:
    for alias in settings.DATABASES:
        engine = connections.settings[alias]["ENGINE"]
        if engine == "django.db.backends.dummy":
            continue
        try:
            yield _examine_database(alias, engine)
        except Exception as error:
            yield unknown(engine, error, label=alias)


def _examine_database(alias: str, engine: str) -> Finding:
    wrapper: Any = connections[alias]
    if not isinstance(wrapper, ScopedWrapper):
        reason = "it would block the loop, where it's refused"
        return Finding(name=engine, label=alias, place=Place.THREAD, reason=reason)
    pool = asdict(wrapper.pool_options())
    # JSON has no infinity.
    pool = {name: None if value == math.inf else value for name, value in pool.items()}
    reason = f"its queries suspend; pool of {pool['max_size']} for each event loop"
    place = Place.LOOP
    if wrapper.vendor == "sqlite" and not wrapper.is_in_memory_db():
        place = Place.THREAD
        reason = f"SQLite has no socket; pool of {pool['max_size']}, a thread for each"
    return Finding(
        name=engine, label=alias, place=place, reason=reason, details={"pool": pool}
    )


def find_caches() -> Iterator[Finding]:
    for alias in settings.CACHES:
        backend = settings.CACHES[alias].get("BACKEND", "")
        try:
            cache = caches[alias]
        except Exception as error:
            yield unknown(backend, error, label=alias)
            continue
        if needs_no_thread(cache.get):
            reason = "it suspends where it waits, or doesn't wait"
            yield Finding(name=backend, label=alias, place=Place.LOOP, reason=reason)
        else:
            reason = "it blocks: each command has a thread"
            yield Finding(name=backend, label=alias, place=Place.THREAD, reason=reason)


def find_sessions() -> Iterator[Finding]:
    """
    Yield what there is to say about ``SESSION_ENGINE``, if Django's middleware uses it.
    """
    if SESSION_MIDDLEWARE not in settings.MIDDLEWARE:
        return
    engine = settings.SESSION_ENGINE
    try:
        store = import_module(engine).SessionStore()
    except Exception as error:
        yield unknown(engine, error)
        return
    yield _examine_sessions(engine, store)


def _examine_sessions(engine: str, store: Any) -> Finding:
    # Stores that use a cache have it here.
    cache = getattr(store, "_cache", None)
    if cache is not None and not needs_no_thread(cache.get):
        reason = f"CACHES[{settings.SESSION_CACHE_ALIAS!r}] does"
        return Finding(name=engine, place=Place.THREAD, reason=reason)
    if not waits_for_database(store.load):
        reason = f"SessionMiddleware calls it, and {name_of(type(store))} may block"
        return Finding(name=engine, place=Place.LOOP, reason=reason, holds_loop=True)
    reason = "its store suspends where it waits, or doesn't wait"
    return Finding(name=engine, place=Place.LOOP, reason=reason)
