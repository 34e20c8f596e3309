"""
What a ``DatabaseWrapper`` needs to borrow its connection from a pool.

The wrapper belongs to a scope and holds the state of its transaction. The
physical connection is attached when a statement needs one, and given back as
soon as the scope waits for anything that is not the database.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.signals import connection_created
from django.utils.asyncio import async_unsafe
from greenlet import getcurrent

from ..bridge._greenlets import BridgeGreenlet
from ..bridge._loops import current_hub, current_task, running_loop
from ..bridge._switch import in_bridge, release_when_idle
from . import _threads, _transactions
from ._admission import admissions, admit
from ._cursors import close_abandoned, watch_chunked_cursor
from ._engines import check_app_is_installed
from ._leasing import LeasingWrapper
from ._options import PoolOptions, read_pool_options
from ._pool import ENDED, Pooled
from ._pools import LoopPool, pools_of
from ._query_log import QueriesLog, new_log

if TYPE_CHECKING:
    from ._errands import Errand
    from ._scopes import Scope

# Seconds at rest after which CONN_HEALTH_CHECKS asks the server again.
HEALTHY_FOR = 1.0


class ScopedWrapper(LeasingWrapper):
    """
    Comes before Django's wrapper of a vendor. Where ``_scope`` is None, as in
    threads, it behaves as Django's own.
    """

    # Not in its __dict__: with what this package adds, that would have more than the 30
    # keys up to which objects share them, and be five times as large.
    __slots__ = (
        "atomic_blocks",
        "client",
        "commit_on_exit",
        "creation",
        "execute_wrappers",
        "features",
        "introspection",
        "ops",
        "rollback_exc",
        "run_on_commit",
        "savepoint_ids",
        "savepoint_state",
        "validation",
    )

    # How many connections a pool has unless the settings tell.
    pool_defaults = PoolOptions()
    # Django's cursor wrappers, which also keep the connection while entered.
    cursor_class: type[Any]
    debug_cursor_class: type[Any]

    # Whether an idle connection is attached past ensure_connection(), which Django's
    # tests replace in order to forbid queries.
    attaches_at_once = True

    # What is attached was opened by a thread that the wrapper was lent to. It would
    # block the loop.
    _is_of_thread = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queries_log: QueriesLog = new_log(self)

    def pool_options(self) -> PoolOptions:
        options = self.settings_dict["OPTIONS"].get("pool")
        return read_pool_options(self.alias, options, self.pool_defaults)

    # Attaching.

    @async_unsafe
    def connect(self) -> None:
        scope = self._scope
        if scope is None:
            self._connect_unpooled()
            return
        _transactions.check_outside(self.alias, scope)
        self.validate_thread_sharing()
        if not in_bridge():
            if (errand := self.errand()) is not None:
                errand.call(self.connect)
                return
            # Or DJANGO_ALLOW_ASYNC_UNSAFE, which asks for blocking.
            self._is_of_thread = self.is_lent()
            super().connect()
            return
        if scope.held:
            scope.check_session(self.alias)
        pool = self._pool
        if pool is None or pool.database != self.settings_dict["NAME"]:
            pool = self._pool = self._find_pool(scope)
        while True:
            grant = pool.get()
            if self._scope is not scope:
                pool.take_back(grant)
                self._refuse_late()
            if not isinstance(grant, Pooled):
                self._open(pool, scope)
                return
            self.connection = grant.connection
            self._reset_transaction_state()
            self._hold(grant, scope, getcurrent())
            if not self.health_check_enabled or self._is_healthy(grant):
                self._tell_that_it_is_new()
                return
            self.drop_lease()

    def _connect_unpooled(self) -> None:
        """
        Connect for a thread, or as a copy that somebody has made: by himself, so
        he knows that it's another connection.
        """
        check_app_is_installed()
        if not self.is_copy():
            _transactions.check_outside(self.alias, None)
        admit(self)
        self.is_opening = True
        try:
            super().connect()
        finally:
            self.is_opening = False

    def _find_pool(self, scope: Scope) -> LoopPool:
        pools = pools_of(scope.hub)
        pool = pools.get(self.alias)
        database = self.settings_dict["NAME"]
        if pool is None:
            pool = pools[self.alias] = LoopPool(
                scope.hub, self.alias, self.pool_options(), self.is_broken
            )
            pool.add_one = partial(add_to_pool, self.alias)
        elif pool.database != database:
            # The test runner renames the database while there are connections.
            pool.clear()
        pool.database = database
        return pool

    def pool_of_loop(self) -> LoopPool:
        """
        Return the pool of the running loop, made if there is none yet.
        """
        return self._find_pool(self._scope)

    def add_to_pool(self) -> bool:
        """
        Open an idle connection if there are fewer than ``min_size``.

        Returns whether it did. Suspends: yes.
        """
        pool = self._pool = self._find_pool(self._scope)
        if not pool.reserve():
            return False
        with self.wrap_database_errors:
            self._open(pool, self._scope)
        self.release_if_idle()
        return True

    def _open(self, pool: LoopPool, scope: Scope) -> None:
        self.is_opening = True
        try:
            super().connect()
            if self._scope is not scope:
                self._refuse_late()
        except BaseException:
            connection, self.connection = self.connection, None
            if connection is not None:
                connection.close()
            pool.failed_to_open()
            raise
        finally:
            self.is_opening = False
        self.close_at, self.was_closed = None, False
        self._hold(pool.opened(self.connection), scope, getcurrent())

    def _tell_that_it_is_new(self) -> None:
        """
        Send Django's signal if somebody has closed the wrapper, and so expects the
        next connection to be new, although it comes from the pool.
        """
        if self.was_closed:
            self.was_closed = False
            connection_created.send(sender=type(self), connection=self)

    def _reset_transaction_state(self) -> None:
        """
        Do what ``connect()`` does besides connecting.
        """
        if self._transaction is not None:
            # One whose connection was lost: Django has left it without ending it.
            self._end_transaction()
        self.in_atomic_block = self._needs_rollback = False
        self.closed_in_transaction = self.errors_occurred = False
        self.savepoint_ids: list[str] = []
        self.atomic_blocks: list[Any] = []
        self.run_on_commit = []
        self.run_commit_hooks_on_set_autocommit_on = False
        self.health_check_enabled = self.settings_dict["CONN_HEALTH_CHECKS"]
        self.health_check_done = True
        self.autocommit = self.settings_dict["AUTOCOMMIT"]
        # Django's own ageing is the pool's business here.
        self.close_at = None

    def _hold(self, pooled: Pooled, scope: Scope, g: Any) -> None:
        self._lease = pooled
        pooled.holder = scope
        pooled.connection.lease = scope
        scope.leased.append(self)
        g.on_idle = scope.release_idle

    def _is_healthy(self, pooled: Pooled) -> bool:
        if self._pool.rested(pooled) < HEALTHY_FOR:
            return True
        return bool(self.is_usable())

    def close_if_unusable_or_obsolete(self) -> None:
        # Django's test clients disconnect the receiver of signals that calls this; of
        # two requests at the same time, one connects it for the other.
        if not _transactions.is_in_test():
            super().close_if_unusable_or_obsolete()

    def close_if_health_check_failed(self) -> None:
        if self._lease is None:
            super().close_if_health_check_failed()
        elif self.health_check_enabled and not self.health_check_done:
            self.health_check_done = True
            if not self.is_usable():
                # Not back to the pool, as close() would do.
                self.drop_lease()

    # Statements.

    def _cursor(self, name: str | None = None) -> Any:
        scope = self._scope
        if scope is None:
            if admissions:
                # Not only to connect: a thread keeps its connection.
                admit(self)
            if _transactions.is_inside_any() and not self._is_in_no_other_block():
                _transactions.check_outside(self.alias, None)
            return super()._cursor(name)
        if running_loop() is None:
            return self._cursor_of_thread(name)
        if self.connection is None:
            if self.attaches_at_once:
                self._attach_idle(scope)
        elif self._lease is not None:
            release_when_idle(scope.release_idle)
            if self._lease.abandoned and self._is_alone():
                close_abandoned(self)
        elif self._is_of_thread:
            self._drop_connection_of_thread()
        return super()._cursor(name)

    def _drop_connection_of_thread(self) -> None:
        """
        Let the task have a connection that doesn't block, unless a thread may still
        be in the middle of a statement with this one.
        """
        is_free = not (self.allow_thread_sharing or self.in_atomic_block)
        if is_free and in_bridge():
            self._is_of_thread = False
            self.drop_lease()

    def _cursor_of_thread(self, name: str | None) -> Any:
        """
        Return a cursor for a thread: one that is on an errand of this wrapper's task,
        has joined the transaction, or was lent the wrapper.
        """
        if (errand := self.errand()) is not None:
            cursor, pin = errand.call(self._pinned_cursor, errand, name)
            cursor.cursor = _threads.ThreadCursor(cursor.cursor, self, pin)
            return cursor
        if self.is_lent():
            self._hand_back()
            return super()._cursor(name)
        # Django does it too, but with a cursor, for which the driver may wait.
        self.validate_thread_sharing()
        cursor = super()._cursor(name)
        cursor.cursor = _threads.ThreadCursor(cursor.cursor, self)
        return cursor

    def _pinned_cursor(self, errand: Errand, name: str | None) -> tuple[Any, Any]:
        """
        Return a cursor, and what keeps its connection until the end of the errand if
        the thread doesn't close it.
        """
        cursor, pin = self._cursor(name), _threads.Pin(self)
        errand.on_end(pin.end)
        return cursor, pin

    def _is_alone(self) -> bool:
        """
        Return whether the task may send a statement without waiting for its turn.
        """
        transaction = self._transaction
        return in_bridge() and (transaction is None or not transaction.is_shared)

    def _attach_idle(self, scope: Scope) -> None:
        """
        Take the short way of :meth:`connect`, the usual one: a connection is
        idle, and there is nothing to check.
        """
        pool, settings_dict, g = self._pool, self.settings_dict, getcurrent()
        if (
            pool is not None
            and pool.database == settings_dict["NAME"]
            and not settings_dict["CONN_HEALTH_CHECKS"]
            and type(g) is BridgeGreenlet
            and current_task() is scope.task
            and _transactions.is_outside(self.alias)
            and not self.closed_in_transaction
            and not self.was_closed
            and not scope.held
        ):
            pooled = pool.get_idle()
            if pooled is not None:
                self.connection = pooled.connection
                self._reset_transaction_state()
                self._hold(pooled, scope, g)

    def make_cursor(self, cursor: Any) -> Any:
        if self._lease is None:
            return super().make_cursor(cursor)
        return self.cursor_class(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> Any:
        if self._lease is None:
            return super().make_debug_cursor(cursor)
        return self.debug_cursor_class(cursor, self)

    @async_unsafe
    def chunked_cursor(self) -> Any:
        if (errand := self.errand()) is not None:
            # It may be closed on another errand, or by none.
            return _threads.ThreadCursor(errand.call(self.chunked_cursor), self)
        cursor = super().chunked_cursor()
        if self._lease is not None:
            watch_chunked_cursor(self, cursor)
        return cursor

    # From scope to scope.

    def inherit_instrumentation(self, parent: ScopedWrapper) -> None:
        """
        Take over what observes the queries of the task that started this one.
        """
        self.force_debug_cursor: bool = parent.force_debug_cursor
        self.queries_log = parent.queries_log
        self.execute_wrappers: list[Any] = list(parent.execute_wrappers)

    def forget_scope(self) -> None:
        """
        Leave no trace of the scope, so that another one can have the wrapper.
        """
        self._end_transaction()
        # Not None, which would make it a thread's.
        self._scope = ENDED
        self.connection = None
        self._reset_transaction_state()
        self.force_debug_cursor = self.was_closed = self._is_of_thread = False
        self.savepoint_state = 0
        self.rollback_exc: BaseException | None = None
        self.execute_wrappers = []
        self.queries_log = new_log(self)


def add_to_pool(alias: str) -> bool:
    added: bool = connections[alias].add_to_pool()
    return added


def expire_pools(alias: str) -> None:
    """
    Close the idle connections of an alias, as its settings have changed.
    """
    pool = pools_of(current_hub()).get(alias)
    if pool is not None:
        pool.clear()
