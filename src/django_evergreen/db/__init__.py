"""
Connections of tasks: scopes, pools and their errors.
"""

from __future__ import annotations

from ._errors import LeaseEnded, PoolTimeout, TransactionNotOwned
from ._pools import PoolStatistics, statistics

__all__ = [
    "LeaseEnded",
    "PoolStatistics",
    "PoolTimeout",
    "TransactionNotOwned",
    "statistics",
]

for _public in (PoolStatistics, statistics):
    _public.__module__ = __name__
