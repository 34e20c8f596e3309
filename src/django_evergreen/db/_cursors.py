"""
Cursors that keep the connection of their wrapper while they need it.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import DatabaseError

from ..bridge._loops import current_hub
from ..bridge._switch import in_bridge, run_sync
from ._pool import ENDED
from ._threads import ThreadCursor

logger = logging.getLogger("django_evergreen.cursors")


class PinsConnection:
    """
    Mixin for Django's cursor wrappers: ``with connection.cursor()`` keeps the
    connection for the whole block, whatever the block waits for.
    """

    db: Any
    cursor: Any

    def __enter__(self) -> Any:
        # A thread's cursor has done it.
        is_of_thread = isinstance(self.cursor, ThreadCursor)
        self._pinned = None if is_of_thread else self.db._lease
        if self._pinned is not None:
            self._pinned.pins += 1
        return super().__enter__()  # type: ignore[misc]

    def __exit__(self, *exc_info: object) -> Any:
        try:
            return super().__exit__(*exc_info)  # type: ignore[misc]
        finally:
            if self._pinned is not None:
                self.db.unpin(self._pinned)


def watch_chunked_cursor(wrapper: Any, cursor: Any) -> None:
    """
    Keep the connection until a server-side cursor is closed.

    ``QuerySet.iterator()`` closes its cursor in a ``finally`` block, which runs
    anywhere if the iteration is abandoned: in bare async code too, where
    nothing may be sent to the server.
    """
    watched = _Watched(wrapper, cursor.cursor)
    cursor.close = watched.close_or_abandon
    # Django doesn't close it if its statement was cancelled.
    weakref.finalize(cursor, watched.abandon).atexit = False
    if wrapper._transaction is not None:
        cursor.fetchmany = partial(watched.fetch_in_turn, cursor.fetchmany)


class _Watched:
    """
    An open server-side cursor, and what it needs of its connection.
    """

    def __init__(self, wrapper: Any, cursor: Any) -> None:
        self._wrapper = wrapper
        self._cursor = cursor
        self._pooled = wrapper._lease
        self._transaction = wrapper._transaction
        # A reference from there, so that the collector doesn't find the cursor
        # together with the iteration that will close it.
        self._pooled.cursors.append(cursor)
        self._pooled.pins += 1

    def close_or_abandon(self) -> None:
        # GeneratorExit: the iteration was abandoned, or is being collected, which
        # happens anywhere.
        if in_bridge() and not isinstance(sys.exception(), GeneratorExit):
            self.close()
        else:
            self.abandon()

    def close(self) -> None:
        if not self._forget():
            return
        reason = sys.exception()
        try:
            with self._wrapper.wrap_database_errors:
                self._cursor.close()
        except BaseException as error:
            # Tried again before another task gets the connection.
            self._pooled.abandoned.append(self._cursor)
            if not isinstance(error, Exception):
                raise
            # Not in place of what has ended the iteration.
            if reason is None:
                raise
            logger.debug("A cursor could not be closed: %s", error)
        finally:
            self._wrapper.unpin(self._pooled)

    def abandon(self) -> None:
        if self._forget():
            self._pooled.pins -= 1
            self._pooled.abandoned.append(self._cursor)
            # This may be any thread, and any moment of the task.
            wrapper = self._wrapper
            wrapper._pool.hub.call_threadsafe(wrapper.release_if_idle)

    def _forget(self) -> bool:
        """
        Return whether it was open: not if its connection was given back.
        """
        if self._cursor not in self._pooled.cursors:
            return False
        self._pooled.cursors.remove(self._cursor)
        return True

    def fetch_in_turn(self, fetch: Callable[..., Any], *args: Any) -> Any:
        # Each fetch is a statement, which may meet another task's block.
        if self._transaction.is_shared:
            self._wrapper.take_turn(self._transaction)
        return fetch(*args)


def close_and_give_back(wrapper: Any, pooled: Any) -> None:
    """
    Close the abandoned cursors of a connection in a task of its own, and give the
    connection back to its pool then. Suspends: no.
    """
    current_hub().spawn(
        _give_back_after(wrapper._pool, pooled, partial(_close, wrapper, pooled))
    )


def restore_and_give_back(wrapper: Any, pooled: Any) -> None:
    """
    Same as :func:`close_and_give_back`, but roll back what is open, too.
    """
    restore, connection = wrapper.restore, pooled.connection
    autocommit = wrapper.settings_dict["AUTOCOMMIT"]
    pooled.pins = 0
    pooled.abandoned += pooled.cursors
    pooled.cursors.clear()

    def clean() -> None:
        _close(wrapper, pooled)
        restore(connection, autocommit)

    wrapper._pool.hub.spawn(_give_back_after(wrapper._pool, pooled, clean))


def close_abandoned(wrapper: Any) -> None:
    """
    Close the abandoned cursors before the next statement, as far as possible.
    """
    try:
        with wrapper.wrap_database_errors:
            _close(wrapper, wrapper._lease)
    except DatabaseError as error:
        # In a failed transaction, for example: they go with it.
        logger.debug("A cursor could not be closed: %s", error)


def _close(wrapper: Any, pooled: Any) -> None:
    while pooled.abandoned:
        cursor = pooled.abandoned[0]
        # If this is interrupted, the pool has to know the cursor.
        wrapper.close_abandoned_cursor(cursor)
        if cursor in pooled.abandoned:
            pooled.abandoned.remove(cursor)


async def _give_back_after(pool: Any, pooled: Any, clean: Callable[[], None]) -> None:
    # Its former task has lost the lease; this one needs none.
    pooled.connection.lease = None
    try:
        await run_sync(clean)
    except Exception:
        logger.exception("Error while cleaning a connection; it is dropped.")
        pool.discard(pooled)
    except BaseException:
        pool.discard(pooled)
        raise
    else:
        pooled.connection.lease = ENDED
        pool.give_back(pooled)
