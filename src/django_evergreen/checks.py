"""
System checks: what in the settings would keep queries from suspending, or requests
from sharing the loop.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

from ._placing import (
    DECLARED_IN_THREAD,
    Place,
    name_of,
    placement_of_middleware,
)
from ._remedies import DJANGOS_REDIS, OUR_REDIS, path_to_declare
from .conf import options
from .db._engines import ENGINES
from .db._wrapper import ScopedWrapper


def check_databases(
    app_configs: Any = None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """
    Return a message for each database that tasks could not use.

    Suspends: no. Runs in: any thread. Connects to no database.
    """
    messages: list[CheckMessage] = []
    for alias in settings.DATABASES:
        wrapper = connections[alias]
        if isinstance(wrapper, ScopedWrapper):
            messages += _check_pool(alias, wrapper)
        elif wrapper.settings_dict["ENGINE"] != "django.db.backends.dummy":
            messages += _check_stock_engine(alias, wrapper)
    return messages


def _check_pool(alias: str, wrapper: ScopedWrapper) -> list[CheckMessage]:
    try:
        wrapper.pool_options()
    except ImproperlyConfigured as error:
        return [Error(str(error), obj=alias, id="django_evergreen.E001")]
    return []


def _check_stock_engine(alias: str, wrapper: Any) -> Iterator[CheckMessage]:
    ours = ENGINES.get(wrapper.vendor)
    engine = wrapper.settings_dict["ENGINE"]
    instead = f"Set ENGINE to {ours!r}, or " if ours else "Set "
    if ours:
        yield checks.Warning(
            f"DATABASES[{alias!r}] has the ENGINE {engine!r}. "
            "Async queries on it are refused, as they would block the event loop.",
            hint=f"Set ENGINE to {ours!r}.",
            obj=alias,
            id="django_evergreen.W001",
        )
    if (age := wrapper.settings_dict["CONN_MAX_AGE"]) != 0:
        yield checks.Warning(
            f'DATABASES[{alias!r}]["CONN_MAX_AGE"] is {age!r}, with the ENGINE '
            f"{engine!r}. Under ASGI each thread that queries keeps a connection.",
            hint=f"{instead}CONN_MAX_AGE to 0.",
            obj=alias,
            id="django_evergreen.W002",
        )
    if wrapper.settings_dict["ATOMIC_REQUESTS"]:
        yield checks.Warning(
            f'DATABASES[{alias!r}]["ATOMIC_REQUESTS"] is True, with the ENGINE '
            f"{engine!r}. Under ASGI all views fail that don't run in a thread: async "
            "ones, and Django's own.",
            hint=f"{instead}ATOMIC_REQUESTS to False, and decorate sync views with "
            "@transaction.atomic.",
            obj=alias,
            id="django_evergreen.W003",
        )


def check_options(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """
    Return a message for what is wrong in ``EVERGREEN``: an option, or a path in
    ``ON_LOOP`` which is that of no code.

    Suspends: no. Runs in: any thread. Imports the modules that ``ON_LOOP`` names.
    """
    try:
        paths = options().on_loop
    except ImproperlyConfigured as error:
        return [Error(str(error), id="django_evergreen.E002")]
    return [
        checks.Warning(
            f'EVERGREEN["ON_LOOP"] has {path!r}, which declares nothing: {problem}',
            hint=hint,
            obj=path,
            id="django_evergreen.W004",
        )
        for path in paths
        for problem, hint in _problems_of(path)
    ]


def _problems_of(path: str) -> Iterator[tuple[str, str]]:
    """
    Yield why no code has a path that begins with this one, and what to do.
    """
    try:
        code = pkgutil.resolve_name(path)
    except (ImportError, AttributeError) as error:
        yield f"{error}.", "Correct it, or leave it out."
    except Exception:
        # It's there, and somebody else will say that it's broken.
        return
    else:
        if not isinstance(code, ModuleType) and (name := name_of(code)) != path:
            yield f"it's {name}.", f"Write {path_to_declare(code)!r} instead."


def check_middleware(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """
    Return one message for all middleware of others that keeps a thread for each
    request.

    Suspends: no. Runs in: any thread. Imports middleware.
    """
    try:
        threads = options().threads
    except ImproperlyConfigured:
        return []
    paths = list(_undeclared_middleware())
    if not paths:
        return []
    return [
        checks.Warning(
            f"{', '.join(paths)}: middleware that is sync only. Under ASGI a request "
            f"keeps one of {threads} threads from there on, to its end.",
            hint="If it doesn't block, declare that: EVERGREEN = {"
            f'"ON_LOOP": {paths!r}'
            "}. If it does, make it async-capable, or silence this.",
            id="django_evergreen.W005",
        )
    ]


def _undeclared_middleware() -> Iterator[str]:
    for path in settings.MIDDLEWARE:
        try:
            factory = import_string(path)
        except Exception:  # noqa: S112
            # Django tells, when it makes the chain.
            continue
        placement = placement_of_middleware(factory)
        if placement.place is Place.THREAD and placement is not DECLARED_IN_THREAD:
            yield path_to_declare(factory)


def check_caches(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """
    Return a message for each cache that would need no thread.

    Suspends: no. Runs in: any thread. Connects to no cache.
    """
    return [
        checks.Info(
            f'CACHES[{alias!r}]["BACKEND"] is {DJANGOS_REDIS!r}. Under ASGI each of '
            "its commands takes a thread.",
            hint=f"Set BACKEND to {OUR_REDIS!r}.",
            obj=alias,
            id="django_evergreen.I001",
        )
        for alias, cache in settings.CACHES.items()
        if cache.get("BACKEND") == DJANGOS_REDIS
    ]


CHECKS = (check_databases, check_options, check_middleware, check_caches)
