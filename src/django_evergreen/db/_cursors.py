"""
Cursors that keep the connection of their wrapper while they need it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from ..bridge._loops import current_hub, running_loop
from ..bridge._switch import in_bridge, run_sync
from ._pool import ENDED

logger = logging.getLogger("django_evergreen.cursors")


class PinsConnection:
    """
    Mixin for Django's cursor wrappers: ``with connection.cursor()`` keeps the
    connection for the whole block, whatever the block waits for.
    """

    db: Any

    def __enter__(self) -> Any:
        self._pinned = self.db._lease
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
    pooled = wrapper._lease
    pooled.pins += 1

    def close() -> None:
        del cursor.close  # The second time it's the cursor's own.
        if wrapper._lease is not pooled:
            # The connection is closed already, and the cursor with it.
            return
        if in_bridge():
            try:
                cursor.cursor.close()
            finally:
                wrapper.unpin(pooled)
        else:
            _close_abandoned(wrapper, cursor.cursor)

    cursor.close = close


def _close_abandoned(wrapper: Any, cursor: Any) -> None:
    """
    Close a cursor where nobody may wait for it.
    """
    pooled = wrapper._lease
    pooled.pins -= 1
    if wrapper.in_atomic_block or not wrapper.autocommit:
        # The end of the transaction closes it.
        return
    if running_loop() is None:
        wrapper.drop_lease()
        return
    pooled.abandoned.append(cursor)
    if not pooled.pins:
        close_and_give_back(wrapper, wrapper.surrender())


def close_and_give_back(wrapper: Any, pooled: Any) -> None:
    """
    Close the abandoned cursors of a connection in a task of its own, and give the
    connection back to its pool then. Suspends: no.
    """
    current_hub().spawn(
        _give_back_after(wrapper._pool, pooled, partial(_close, pooled))
    )


def restore_and_give_back(wrapper: Any, pooled: Any) -> None:
    """
    Same as :func:`close_and_give_back`, but roll back what is open, too.
    """
    restore, connection = wrapper.restore, pooled.connection
    autocommit = wrapper.settings_dict["AUTOCOMMIT"]
    pooled.pins = 0

    def clean() -> None:
        _close(pooled)
        restore(connection, autocommit)

    wrapper._pool.hub.spawn(_give_back_after(wrapper._pool, pooled, clean))


def _close(pooled: Any) -> None:
    while pooled.abandoned:
        pooled.abandoned.pop().close()


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
