"""
Django's PostgreSQL backend, with connections that suspend in the bridge.

Set ``ENGINE`` to ``"django_evergreen.db.backends.postgresql"``.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured

try:
    from django.db.backends.postgresql import base
    from django.db.backends.postgresql.psycopg_any import (
        IsolationLevel,
        is_psycopg3,
    )
except ImproperlyConfigured as error:
    _msg = (
        "The ENGINE 'django_evergreen.db.backends.postgresql' needs psycopg 3, which "
        "can't be imported. Run `pip install 'django-evergreen[postgresql]'`."
    )
    raise ImproperlyConfigured(_msg) from error

# The first psycopg whose waits have a deadline that this package can keep.
MINIMUM_PSYCOPG = (3, 3, 6)

if not is_psycopg3 or base.psycopg_version() < MINIMUM_PSYCOPG:
    _msg = (
        "The ENGINE 'django_evergreen.db.backends.postgresql' needs psycopg "
        f"{'.'.join(map(str, MINIMUM_PSYCOPG))} or newer; you have "
        f"{base.Database.__name__} {base.Database.__version__}. "
        "Run `pip install --upgrade 'django-evergreen[postgresql]'`."
    )
    raise ImproperlyConfigured(_msg)

from django.db.backends.utils import CursorWrapper  # noqa: E402
from django.utils.asyncio import async_unsafe  # noqa: E402
from psycopg.pq import TransactionStatus  # noqa: E402

from ....bridge._loops import current_hub  # noqa: E402
from ....bridge._switch import run_sync  # noqa: E402
from ..._cursors import PinsConnection  # noqa: E402
from ..._hooks import ConnectionState  # noqa: E402
from ..._wrapper import ScopedWrapper, expire_pools  # noqa: E402
from . import _driver  # noqa: E402
from ._connection import Connection  # noqa: E402

IDLE, ACTIVE = TransactionStatus.IDLE, TransactionStatus.ACTIVE
INERROR, UNKNOWN = TransactionStatus.INERROR, TransactionStatus.UNKNOWN


@cache
def has_psycopg_pool() -> bool:
    return find_spec("psycopg_pool") is not None


class PinningCursor(PinsConnection, CursorWrapper):
    pass


class PinningDebugCursor(PinsConnection, base.CursorDebugWrapper):
    pass


class DatabaseWrapper(ScopedWrapper, base.DatabaseWrapper):
    """
    A PostgreSQL database, for tasks and for threads.
    """

    Database = _driver
    cursor_class = PinningCursor
    debug_cursor_class = PinningDebugCursor
    is_broken = staticmethod(Connection.is_broken)  # type: ignore[assignment]
    isolation_level = IsolationLevel.READ_COMMITTED

    def connection_state(self, connection: Any) -> ConnectionState:
        status = connection.pgconn.transaction_status
        if status == UNKNOWN or connection.is_closing():
            return ConnectionState.BROKEN
        if status != IDLE or connection.lock.locked:
            return ConnectionState.IN_USE
        if connection.autocommit != self.settings_dict["AUTOCOMMIT"]:
            return ConnectionState.IN_USE
        return ConnectionState.CLEAN

    def _find_pool(self, *args: Any) -> Any:
        # What get_new_connection() sets, for connections that another opened.
        level = self.settings_dict["OPTIONS"].get("isolation_level")
        if level is not None:
            self.isolation_level = IsolationLevel(level)
        return super()._find_pool(*args)

    @staticmethod
    def is_busy(connection: Any) -> bool:
        status = connection.pgconn.transaction_status
        return (
            status in (ACTIVE, UNKNOWN)
            or connection.lock.locked
            or connection.is_closing()
        )

    @async_unsafe
    def is_usable(self) -> bool:
        # Django takes whatever the driver raises for a no, also that it's refused.
        return bool(super().is_usable())

    @staticmethod
    def restore(connection: Any, autocommit: bool) -> None:
        connection.rollback()
        connection.autocommit = autocommit

    @staticmethod
    def close_abandoned_cursor(cursor: Any) -> None:
        # psycopg asks first whether it still exists: it's gone if a savepoint was
        # rolled back, and to close it then would abort the transaction.
        cursor._described = False
        cursor.close()

    def wait_until_quiet(self) -> None:
        if self.connection is not None:
            # First come, first served: by the lock that statements wait for.
            with self.connection.lock:
                pass

    def abort_statement(self) -> None:
        if self._lease is not None:
            self._lease.is_spent = True
            current_hub().spawn(run_sync(self.connection.abort_statement))

    def is_in_transaction(self) -> bool:
        connection = self.connection
        status = connection.pgconn.transaction_status
        return bool(connection.lock.locked or status != IDLE)

    def is_aborted(self) -> bool:
        if self.connection is None:
            return False
        return bool(self.connection.pgconn.transaction_status == INERROR)

    @property
    def pool(self) -> Any:
        """
        Django's pool of psycopg_pool, which serves threads. It's optional here.
        """
        if self._scope is not None or not self.settings_dict["OPTIONS"].get("pool"):
            return None
        self.pool_options()  # Raises if they are wrong.
        return super().pool if has_psycopg_pool() else None

    def close_pool(self) -> None:
        if self._scope is None:
            super().close_pool()
        else:
            expire_pools(self.alias)
