"""
Reading queries of bare async code, which wait to begin while a pool is crowded.

A query that waits for a connection keeps a greenlet, querysets and its SQL: 25 KB.
When thousands wait, as many as the pool has connections do so in its own queue; the
others wait in its lobby, as coroutines that have done nothing yet, in the order of
coming.

Only such as are outside of any transaction, as they hold nothing that others could
wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from django.db import DEFAULT_DB_ALIAS, router

from ..bridge._switch import run_sync
from . import _transactions
from ._pools import LoopPool, crowded
from ._scopes import current_scope

# Methods of QuerySet that only read.
READS = frozenset(
    {
        "_fetch_all",
        "aggregate",
        "contains",
        "count",
        "earliest",
        "exists",
        "explain",
        "first",
        "get",
        "in_bulk",
        "last",
        "latest",
    }
)


def run_query(
    fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Coroutine[Any, Any, Any]:
    """
    Same as :func:`run_sync`, for a method of a queryset, which waits its turn to begin.
    """
    if crowded:
        pool = _crowded_pool(fn)
        if pool is not None:
            return _run_later(pool, fn, args, kwargs)
    return run_sync(fn, *args, **kwargs)


def _crowded_pool(fn: Any) -> LoopPool | None:
    """
    Return the pool that a query would have to wait for, if it can wait before.
    """
    # A method that somebody has overridden may be anything that can be called.
    if getattr(fn, "__name__", "") not in READS or _transactions.is_inside_any():
        return None
    scope = current_scope()
    if scope is None or scope.leased or scope.held:
        return None
    alias = fn.__self__._db
    if alias is None:
        if router.routers:
            # Whose code may query.
            return None
        alias = DEFAULT_DB_ALIAS
    # Other threads have pools, too.
    for pool in tuple(crowded):
        if pool.alias == alias and pool.hub is scope.hub and pool.is_crowded():
            return pool
    return None


async def _run_later(
    pool: LoopPool, fn: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    await pool.wait_in_lobby()
    try:
        return await run_sync(fn, *args, **kwargs)
    finally:
        pool.leave_lobby()
