"""
``DATABASES[alias]["OPTIONS"]["pool"]``, read once and checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from django.core.exceptions import ImproperlyConfigured

# Options of psycopg's own pool, which Django uses where no event loop runs.
# The pool of an event loop has no use for them.
_OF_PSYCOPG_POOL = frozenset(
    {"check", "name", "num_workers", "open", "reconnect_failed", "reconnect_timeout"}
    | {"close_returns", "configure", "connection_class", "kwargs", "reset"}
)


@dataclass(frozen=True)
class PoolOptions:
    """
    How many connections a pool keeps, and for how long. Times are in seconds.
    """

    min_size: int = 0
    max_size: int = 10
    timeout: float = 30.0
    max_waiting: int = 0
    max_lifetime: float = 60 * 60.0
    max_idle: float = 10 * 60.0


NAMES = tuple(field.name for field in fields(PoolOptions))


def read_pool_options(
    alias: str, options: Any, defaults: PoolOptions | None = None
) -> PoolOptions:
    """
    Return the options of a pool, or raise ``ImproperlyConfigured``.

    ``options`` is what the settings say: True, None or a mapping.
    """
    defaults = defaults or PoolOptions()
    if not options or options is True:
        return defaults
    where = f'DATABASES[{alias!r}]["OPTIONS"]["pool"]'
    if not isinstance(options, Mapping):
        msg = f"{where} is {options!r}. Set it to True or to a dict of options."
        raise ImproperlyConfigured(msg)
    unknown = sorted(options.keys() - set(NAMES) - _OF_PSYCOPG_POOL)
    if unknown:
        msg = (
            f"{where} has an unknown option {unknown[0]!r}. "
            f"The options are {', '.join(NAMES)}."
        )
        raise ImproperlyConfigured(msg)
    for name in NAMES:
        _check_number(where, name, options.get(name, getattr(defaults, name)))
    chosen = {name: options[name] for name in NAMES if options.get(name) is not None}
    # As in psycopg's pool, min_size alone also sets the size of the pool.
    if "min_size" in chosen and "max_size" not in chosen:
        chosen["max_size"] = max(chosen["min_size"], defaults.max_size)
    read = replace(defaults, **chosen)
    if read.max_size < max(read.min_size, 1):
        msg = (
            f"{where} has max_size={read.max_size} and min_size={read.min_size}. "
            f"max_size must be at least 1, and not less than min_size."
        )
        raise ImproperlyConfigured(msg)
    return read


def _check_number(where: str, name: str, value: Any) -> None:
    if value is None:
        return
    kinds = (int,) if name in ("min_size", "max_size", "max_waiting") else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or value < 0:
        kind = "a whole number" if kinds == (int,) else "a number of seconds"
        msg = f"{where} has {name}={value!r}. Set it to {kind}, 0 or more."
        raise ImproperlyConfigured(msg)
