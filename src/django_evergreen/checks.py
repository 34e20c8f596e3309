"""
System checks: what in the settings would keep queries from suspending.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

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
        elif wrapper.vendor in ENGINES:
            messages.append(_stock_engine(alias, wrapper))
    return messages


def _check_pool(alias: str, wrapper: ScopedWrapper) -> list[CheckMessage]:
    try:
        wrapper.pool_options()
    except ImproperlyConfigured as error:
        return [Error(str(error), obj=alias, id="django_evergreen.E001")]
    return []


def _stock_engine(alias: str, wrapper: Any) -> CheckMessage:
    return checks.Warning(
        f"DATABASES[{alias!r}] has the ENGINE {wrapper.settings_dict['ENGINE']!r}. "
        "Async queries on it are refused, as they would block the event loop.",
        hint=f"Set ENGINE to {ENGINES[wrapper.vendor]!r}.",
        obj=alias,
        id="django_evergreen.W001",
    )
