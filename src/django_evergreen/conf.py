"""
The setting ``EVERGREEN``, read once and checked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

# As in anyio: they wait more than they work.
DEFAULT_THREADS = 40

# Milliseconds, in DEBUG.
DEFAULT_WATCHDOG_MS = 100.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """
    What ``settings.EVERGREEN`` says, in small letters, with the defaults.
    """

    # Prefixes of dotted paths: sync code that doesn't block, and so runs on the loop.
    on_loop: tuple[str, ...] = ()
    # How many threads requests have for other sync code.
    threads: int = DEFAULT_THREADS
    # How long the event loop may be held until it's reported. 0: no watchdog.
    watchdog_ms: float = 0.0


NAMES = tuple(field.name.upper() for field in fields(Options))


@functools.cache
def options() -> Options:
    """
    Return the options, or raise ``ImproperlyConfigured``.
    """
    given = getattr(settings, "EVERGREEN", {})
    if not isinstance(given, Mapping):
        msg = f"EVERGREEN is {given!r}. Set it to a dict of options."
        raise ImproperlyConfigured(msg)
    unknown = sorted(map(str, given.keys() - set(NAMES)))
    if unknown:
        msg = (
            f"EVERGREEN has an unknown option {unknown[0]!r}. "
            f"The options are {', '.join(NAMES)}."
        )
        raise ImproperlyConfigured(msg)
    default = DEFAULT_WATCHDOG_MS if settings.DEBUG else 0.0
    return Options(
        on_loop=_read(given, "ON_LOOP", (), _are_paths, "a list of dotted paths"),
        threads=_read(given, "THREADS", DEFAULT_THREADS, _is_size, "1 or more"),
        watchdog_ms=_read(
            given, "WATCHDOG_MS", default, _is_time, "milliseconds, or 0 for none"
        ),
    )


def _read(
    given: Mapping[str, Any],
    name: str,
    default: Any,
    is_right: Callable[[Any], bool],
    what: str,
) -> Any:
    value = given.get(name)
    if value is None:
        value = default
    if not is_right(value):
        msg = f'EVERGREEN["{name}"] is {value!r}. Set it to {what}.'
        raise ImproperlyConfigured(msg)
    return tuple(value) if isinstance(value, list) else value


def _are_paths(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(path, str) and all(map(str.isidentifier, path.split(".")))
        for path in value
    )


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and value >= 0


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in ("EVERGREEN", "DEBUG"):
        options.cache_clear()


setting_changed.connect(_on_setting_changed)
