"""
Connections and transactions of tasks: scopes, pools and their errors.
"""

from __future__ import annotations

from ._commit_hooks import aon_commit
from ._errors import (
    LeaseEnded,
    PoolTimeout,
    TransactionDeadlock,
    TransactionEnded,
    TransactionNotOwned,
    TransactionRolledBack,
)
from ._holding import hold_connection, new_connections
from ._lifespan import close_pools, open_pools
from ._pools import statistics
from ._statistics import PoolStatistics

__all__ = [
    "LeaseEnded",
    "PoolStatistics",
    "PoolTimeout",
    "TransactionDeadlock",
    "TransactionEnded",
    "TransactionNotOwned",
    "TransactionRolledBack",
    "aon_commit",
    "close_pools",
    "hold_connection",
    "new_connections",
    "open_pools",
    "statistics",
]

for _public in (
    PoolStatistics,
    aon_commit,
    close_pools,
    hold_connection,
    new_connections,
    open_pools,
    statistics,
):
    _public.__module__ = __name__
