"""
Errors of the database layer, each a Django error that callers already catch.
"""

from __future__ import annotations

from django.db import InterfaceError, OperationalError
from django.db.transaction import TransactionManagementError

from ..exceptions import EvergreenError


class PoolTimeout(OperationalError, EvergreenError):
    """
    Raised when no connection became free within ``OPTIONS["pool"]["timeout"]``.
    """


class LeaseEnded(InterfaceError, EvergreenError):
    """
    Raised when a cursor is used whose connection was given back to the pool.
    """


class TransactionNotOwned(TransactionManagementError, EvergreenError):
    """
    Raised when a task or a thread queries the database inside a transaction
    that another task has opened.
    """


for _error in (PoolTimeout, LeaseEnded, TransactionNotOwned):
    _error.__module__ = "django_evergreen.db"
