"""
Opening and closing the pools of a loop, when a server starts and stops.
"""

from __future__ import annotations

import logging
from time import monotonic

from django.db import connections

from ..bridge import run_sync
from ..bridge._loops import current_hub
from ._holding import new_connections
from ._pools import pools_of
from ._wrapper import ScopedWrapper

logger = logging.getLogger("django_evergreen.pool")


async def open_pools() -> None:
    """
    Open ``OPTIONS["pool"]["min_size"]`` connections to each database.

    Without this call a pool is filled in the background, after its first use.
    Raises the error of a database that can't be reached. Suspends: yes. Runs in:
    a task. On cancellation: leaves what has been opened.
    """
    await run_sync(_open_pools)


def _open_pools() -> None:
    with new_connections():
        for wrapper in connections.all():
            if isinstance(wrapper, ScopedWrapper):
                wrapper.pool_of_loop().fill()


async def close_pools(timeout: float = 30.0) -> bool:  # noqa: ASYNC109 (psycopg's)
    """
    Close the connections of the running loop, when they are no longer in use.

    Until ``timeout`` seconds are over, queries are served as ever; then what is
    still in use is closed, which is logged and makes its queries fail. A query
    after that opens a new pool.

    Returns whether all could be closed in peace. Suspends: until they are. Runs
    in: a task.
    """
    return await run_sync(_close_pools, timeout)


def _close_pools(timeout: float) -> bool:
    pools = pools_of(current_hub())
    deadline = monotonic() + timeout
    is_quiet = True
    for alias, pool in list(pools.items()):
        if not pool.drain(max(0.0, deadline - monotonic())):
            is_quiet = False
            logger.warning("%r was closed while it was in use.", pool)
        if pools.get(alias) is pool:
            # Else somebody else has closed it meanwhile, and there may be a new one.
            del pools[alias]
        pool.close()
    return is_quiet
