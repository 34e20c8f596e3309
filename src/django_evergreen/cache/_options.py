"""
The options of Django's Redis cache, for redis-py's sync client and for asyncio's.

redis-py has each class twice. A setting names one of them, and stands for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio.connection
import redis.asyncio.retry
import redis.retry
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from redis import _parsers

from ._pool import LoopPool


@dataclass(frozen=True)
class Kind:
    """
    A kind of class that can be chosen: the base of both sides, and where redis-py
    keeps its own.
    """

    base: Any
    async_base: Any
    home: Any
    async_home: Any
    # What the names of its own begin with.
    prefix: str = ""
    async_prefix: str = ""


KINDS = {
    "pool_class": Kind(
        redis.ConnectionPool,
        redis.asyncio.ConnectionPool,
        redis.connection,
        redis.asyncio.connection,
    ),
    "connection_class": Kind(
        redis.connection.AbstractConnection,
        redis.asyncio.connection.AbstractConnection,
        redis.connection,
        redis.asyncio.connection,
    ),
    "parser_class": Kind(
        _parsers.BaseParser,
        # A subclass of the sync one.
        _parsers.base.AsyncBaseParser,
        _parsers,
        _parsers,
        "_",
        "_Async",
    ),
}


# The pools in whose place a LoopPool is used.
LIMITED = (None, redis.asyncio.ConnectionPool, redis.asyncio.BlockingConnectionPool)


def split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Return the options for the sync client, and those for the one of asyncio.

    Raises ``ImproperlyConfigured`` for a class that can't serve an event loop.
    """
    sync, loop = options.copy(), options.copy()
    for name in KINDS.keys() & options.keys():
        sync[name], loop[name] = _twins(name, options[name])
        for side in (sync, loop):
            if side[name] is None:
                del side[name]
    if "pool_class" not in sync or not issubclass(
        sync["pool_class"], redis.BlockingConnectionPool
    ):
        # The other ones don't wait, and would pass it on to their connections.
        sync.pop("timeout", None)
    # A pool of asyncio has no queue.
    loop.pop("queue_class", None)
    if isinstance(retry := loop.get("retry"), redis.retry.Retry):
        loop["retry"] = _async_retry(retry)
    return sync, loop


def _async_retry(retry: Any) -> Any:
    if isinstance(retry, redis.asyncio.retry.Retry):
        return retry
    return redis.asyncio.retry.Retry(
        retry._backoff, retry._retries, retry._supported_errors
    )


def _twins(name: str, given: Any) -> tuple[Any, Any]:
    """
    Return the sync class and the asyncio class that an option stands for; None is
    the default.
    """
    kind = KINDS[name]
    if isinstance(given, str):
        given = import_string(given)
    if given is None:
        return None, None
    if isinstance(given, type) and issubclass(given, kind.async_base):
        return _find(kind.home, given, kind.async_prefix, kind.prefix), given
    if isinstance(given, type) and issubclass(given, kind.base):
        twin = _find(kind.async_home, given, kind.prefix, kind.async_prefix)
        if twin is not None:
            return given, twin
    async_base = kind.async_base
    msg = (
        f'OPTIONS["{name}"] of the cache is {given!r}, which can\'t serve an event '
        "loop, and has no counterpart in redis.asyncio. Leave it out, or name a "
        f"subclass of {async_base.__module__}.{async_base.__qualname__}: event loops "
        "use it then, and threads use redis-py's default."
    )
    raise ImproperlyConfigured(msg)


def _find(home: Any, cls: type, prefix: str, other: str) -> Any:
    """
    Return the twin of a class of redis-py, or None if the class isn't redis-py's.
    """
    if cls.__module__.split(".")[0] != "redis":
        return None
    return getattr(home, other + cls.__name__.removeprefix(prefix), None)


def make_pool(url: str, pool_class: Any = None, **options: Any) -> Any:
    """
    Return a pool of asyncio: with a limit, unless its class is the project's own.
    """
    if pool_class in LIMITED:
        pool_class = LoopPool
    pool = pool_class.from_url(url, **options)
    try:
        # It doesn't connect yet, but takes the options or refuses them.
        pool.make_connection()
    except TypeError as error:
        msg = (
            f"redis-py's asyncio can't use these OPTIONS of the cache: {error}. "
            "Leave out what only its sync client knows."
        )
        raise ImproperlyConfigured(msg) from error
    return pool
