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

    Or when a task did not get its turn on the connection of the transaction
    which it has joined, within the same time.
    """


class LeaseEnded(InterfaceError, EvergreenError):
    """
    Raised when a cursor is used whose connection was given back to the pool.
    """


class TransactionEnded(TransactionManagementError, EvergreenError):
    """
    Raised when a task or a thread queries the database that was started inside
    an ``atomic()`` block which has ended.
    """


class TransactionDeadlock(OperationalError, EvergreenError):
    """
    Raised when a task would wait for an ``atomic()`` block whose task waits for
    this one.
    """


class TransactionRolledBack(TransactionManagementError, EvergreenError):
    """
    Raised at the end of an ``atomic()`` block that could not be committed, though
    its own body raised nothing.
    """


class TransactionNotOwned(TransactionManagementError, EvergreenError):
    """
    Raised when code was started inside a transaction which it can't use, as that
    belongs to a thread.
    """


for _error in (
    PoolTimeout,
    LeaseEnded,
    TransactionEnded,
    TransactionDeadlock,
    TransactionRolledBack,
    TransactionNotOwned,
):
    _error.__module__ = "django_evergreen.db"
