"""
How a ``DatabaseWrapper`` gives back what it has borrowed from a pool.

Guarantees:

- A connection is given back clean, or closed.
- It is kept while something needs it: a transaction, an open cursor, a block of
  ``hold_connection()``.
"""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError
from django.utils.asyncio import async_unsafe

from ..bridge._switch import release_when_idle
from . import _threads
from ._cursors import close_and_give_back
from ._hooks import ConnectionState
from ._pool import ENDED, Pooled
from ._pools import LoopPool
from ._transactional import TransactionalWrapper


class LeasingWrapper(TransactionalWrapper):
    """
    The part of :class:`~._wrapper.ScopedWrapper` that is about its lease.
    """

    # Where it came from, and the next will: wrappers don't leave their loop.
    _pool: LoopPool = None  # type: ignore[assignment]
    # Somebody has called close(), and no connection was attached since.
    was_closed = False

    def release_if_idle(self) -> None:
        """
        Give the connection back, unless something still needs it.
        """
        if self.connection is None:
            # Django forgets a connection that was lost in a transaction.
            self.drop_lease()
            return
        state = self.connection_state(self.connection)
        if self._is_pinned():
            # A broken one, too: the next statement or COMMIT has to fail.
            return
        if state is ConnectionState.BROKEN:
            self.drop_lease()
        elif state is ConnectionState.CLEAN:
            self._give_back(self.surrender())

    def _give_back(self, pooled: Pooled) -> None:
        if pooled.abandoned:
            close_and_give_back(self, pooled)
        else:
            self._pool.give_back(pooled)

    def can_be_restored(self) -> bool:
        """
        Return whether :meth:`restore` is worth trying: no statement is half-way.
        """
        return self.connection is not None and not self.is_busy(self.connection)

    def is_lost(self) -> bool:
        if self.connection is None:
            return True
        return self.connection_state(self.connection) is ConnectionState.BROKEN

    def _is_clean(self) -> bool:
        return self.connection_state(self.connection) is ConnectionState.CLEAN

    def _is_pinned(self) -> bool:
        return (
            (self._lease is not None and self._lease.pins > 0)
            or self.in_atomic_block
            or self.autocommit != self.settings_dict["AUTOCOMMIT"]
        )

    def surrender(self) -> Pooled:
        """
        Detach the connection, and leave it to the caller.
        """
        pooled, self._lease = self._lease, None
        assert pooled is not None
        assert self._scope is not None
        pooled.connection.lease = ENDED
        self._scope.leased.remove(self)
        self.connection = None
        return pooled

    def drop_lease(self) -> None:
        """
        Close the connection, whatever state it's in. Suspends: no.
        """
        if self._lease is not None:
            self._pool.discard(self.surrender())
        elif self.connection is not None:
            # One that blocks: of a thread, or by DJANGO_ALLOW_ASYNC_UNSAFE.
            self.connection.close()
            self.connection = None

    def describe_hold(self) -> str:
        if self._transaction is not None or self.in_atomic_block:
            return "an open transaction"
        if self._lease is not None and self._lease.pins:
            return "an open cursor"
        return "a connection in use"

    @async_unsafe
    def close(self) -> None:
        self.was_closed = self._scope is not None
        super().close()

    def _close(self) -> Any:
        if self._lease is None:
            return super()._close()
        if (errand := self.errand()) is not None:
            return errand.call(self._close)
        if self.is_lent():
            self._hand_back()
            return None
        if not self._is_pinned() and self._is_clean():
            self.release_if_idle()
            return None
        _threads.on_loop_of(self._scope.hub, self._close_pinned)
        return None

    def _hand_back(self) -> None:
        """
        Give the connection back to its pool, from a thread.
        """
        if self._lease is not None:
            end = self._give_back if self._is_clean() else self._pool.discard
            self._pool.hub.call_threadsafe(end, self.surrender())

    def _close_pinned(self) -> None:
        connection = self.connection
        self.drop_lease()
        if self.in_atomic_block:
            # Django wants the closed connection left in place.
            self.connection = connection
        else:
            self._end_transaction()

    # Keeping.

    def hold(self) -> Pooled:
        """
        Keep the connection until :meth:`unpin`. Suspends: until there is one.
        """
        self.ensure_connection()
        pooled = self._lease
        if pooled is None:
            msg = f"{self!r} has a connection of its own, which can't be held."
            raise DatabaseError(msg)
        pooled.pins += 1
        pooled.is_spent = True
        held = self._scope.held
        held[self.alias] = held.get(self.alias, 0) + 1
        return pooled

    def release_hold(self, pooled: Pooled) -> None:
        """
        End one :meth:`hold`. Suspends: no.
        """
        self._scope.held[self.alias] -= 1
        self.unpin(pooled)

    def unpin(self, pooled: Pooled) -> None:
        """
        A cursor of ``pooled``, which may be attached no more, was closed.
        """
        pooled.pins -= 1
        if self._lease is not None:
            release_when_idle(self._scope.release_idle)
