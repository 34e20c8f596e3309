"""
Django's SQLite backend, with a worker thread for each connection in the bridge.

Set ``ENGINE`` to ``"django_evergreen.db.backends.sqlite3"``. A database in
memory is used inline, as its calls don't wait for anything.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.sqlite3 import base, creation, operations
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper

from ....bridge._loops import running_loop
from ....bridge._switch import in_bridge
from ..._cursors import PinsConnection
from ..._hooks import ConnectionState
from ..._options import PoolOptions
from ..._threads import ThreadCursor
from ..._wrapper import ScopedWrapper, expire_pools
from ._connection import WorkerConnection, WorkerCursor


class PinningCursor(PinsConnection, CursorWrapper):
    pass


class PinningDebugCursor(PinsConnection, CursorDebugWrapper):
    pass


class InlineConnection(sqlite3.Connection):
    """
    A connection to a database in memory, which its pool can lend.
    """

    lease: Any = None

    forget_cursor = WorkerConnection.forget_cursor


class DatabaseOperations(operations.DatabaseOperations):
    """
    Lets a thread log its queries: SQLite quotes the parameters for the log, which
    takes a statement.
    """

    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> Any:
        quote = partial(super().last_executed_query, cursor, sql, params)
        return cursor.run(quote) if isinstance(cursor, ThreadCursor) else quote()


class DatabaseCreation(creation.DatabaseCreation):
    """
    Removes the files of test databases: not from below the pool, whose connections
    would stay on what was removed.
    """

    def _create_test_db(self, *args: Any, **kwargs: Any) -> Any:
        self._close_idle()
        return super()._create_test_db(*args, **kwargs)

    def _clone_test_db(self, *args: Any, **kwargs: Any) -> Any:
        self._close_idle()
        return super()._clone_test_db(*args, **kwargs)

    def _destroy_test_db(self, *args: Any, **kwargs: Any) -> Any:
        self._close_idle()
        return super()._destroy_test_db(*args, **kwargs)

    def _close_idle(self) -> None:
        if running_loop() is not None:
            expire_pools(self.connection.alias)


class DatabaseWrapper(ScopedWrapper, base.DatabaseWrapper):
    """
    An SQLite database, for tasks and for threads.
    """

    creation_class = DatabaseCreation
    ops_class = DatabaseOperations

    # SQLite has one writer, and readers are quick: few connections suffice.
    pool_defaults = PoolOptions(max_size=4)
    cursor_class = PinningCursor
    debug_cursor_class = PinningDebugCursor

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        params.pop("pool", None)
        if in_bridge():
            self._refuse_factory(params)
            in_memory = self.is_in_memory_db()
            params["factory"] = InlineConnection if in_memory else WorkerConnection
        return params

    def _refuse_factory(self, params: dict[str, Any]) -> None:
        if "factory" in params:
            msg = (
                f'DATABASES[{self.alias!r}]["OPTIONS"]["factory"] is '
                f"{params['factory']!r}, but connections that are opened in the bridge "
                "have a class of their own. Remove the option."
            )
            raise ImproperlyConfigured(msg)

    def _find_pool(self, *args: Any) -> Any:
        # Sets transaction_mode, for connections that another wrapper opened.
        self.get_connection_params()
        return super()._find_pool(*args)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        opened = []

        def connect(*args: Any, **kwargs: Any) -> Any:
            opened.append(factory(*args, **kwargs))
            return opened[-1]

        factory = conn_params.get("factory", sqlite3.Connection)
        try:
            return super().get_new_connection({**conn_params, "factory": connect})
        except BaseException:
            # It sends statements of its own, which may fail or be cancelled.
            for connection in opened:
                connection.close()
            raise

    def _start_transaction_under_autocommit(self) -> None:
        begin = super()._start_transaction_under_autocommit
        if isinstance(self.connection, WorkerConnection):
            self.connection.begin(begin)
        else:
            begin()

    def create_cursor(self, name: str | None = None) -> Any:
        if isinstance(self.connection, WorkerConnection):
            return self.connection.cursor(WorkerCursor)
        return super().create_cursor(name)

    def pool_options(self) -> PoolOptions:
        if not self.is_in_memory_db():
            return super().pool_options()
        # The database lives in its one connection, and as long as that.
        return replace(
            super().pool_options(), min_size=1, max_size=1, max_lifetime=float("inf")
        )

    def connection_state(self, connection: Any) -> ConnectionState:
        if isinstance(connection, WorkerConnection):
            if connection.is_broken():
                return ConnectionState.BROKEN
            if connection.calls:
                return ConnectionState.IN_USE
        if connection.in_transaction:
            return ConnectionState.IN_USE
        return ConnectionState.CLEAN

    @staticmethod
    def is_busy(connection: Any) -> bool:
        return isinstance(connection, WorkerConnection) and connection.is_broken()

    @staticmethod
    def restore(connection: Any, autocommit: bool) -> None:
        connection.rollback()
        connection.isolation_level = None if autocommit else ""

    def wait_until_quiet(self) -> None:
        # The thread does one thing after the other.
        if isinstance(self.connection, WorkerConnection):
            self.connection.wait_until_quiet()

    def abort_statement(self) -> None:
        if isinstance(self.connection, WorkerConnection):
            self.connection.interrupt()

    def drop_lease(self) -> None:
        if self._lease is None or not self.is_in_memory_db():
            super().drop_lease()
            return
        # Closing it would destroy the database.
        self._lease.connection.rollback()
        self._pool.give_back(self.surrender())
