"""
The pools of an event loop: one for each alias, closed with the loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..bridge._loops import Hub, Timer, current_hub, wake
from ..bridge._switch import suspend
from ._errors import PoolTimeout
from ._options import PoolOptions
from ._pool import Grant, Pool, Pooled


@dataclass(frozen=True)
class PoolStatistics:
    """
    What a pool holds at this moment.

    Attributes:
        size: connections that exist or are being opened.
        idle: those that nobody uses.
        waiting: tasks that wait for one.
        max_size: the most connections there may be.
        holders: the names of the tasks that use a connection.
    """

    size: int
    idle: int
    waiting: int
    max_size: int
    holders: tuple[str, ...]


class LoopPool:
    """
    Adds waiting, timers and closing to the state of a :class:`Pool`.
    """

    def __init__(
        self, hub: Hub, alias: str, options: PoolOptions, broken: Callable[[Any], bool]
    ) -> None:
        self.alias = alias
        self.options = options
        # What the connections were opened for; another name makes them useless.
        self.database: Any = None
        self.hub = hub
        self._state = Pool(options, time.monotonic, broken)
        self._timer: Timer | None = None
        hub.on_close(self.close)

    def __repr__(self) -> str:
        s = self.statistics()
        return (
            f"<LoopPool {self.alias!r}: {s.size} of {s.max_size} connections, "
            f"{s.idle} idle, {s.waiting} waiting>"
        )

    def statistics(self) -> PoolStatistics:
        state = self._state
        return PoolStatistics(
            size=state.size,
            idle=len(state.idle),
            waiting=len(state.waiters),
            max_size=self.options.max_size,
            holders=tuple(sorted(str(pooled.holder) for pooled in state.leased)),
        )

    def get(self) -> Grant:
        """
        Return a connection, or the permission to open one.

        Suspends: while all are in use. Raises :exc:`PoolTimeout`. On
        cancellation: leaves the queue.
        """
        grant = self._state.take()
        if self._state.doomed:
            self._close_doomed()
        return grant or self._wait()

    def get_idle(self) -> Pooled | None:
        """
        Return an idle connection, or None. Suspends: no.
        """
        pooled = self._state.take_idle()
        if self._state.doomed:
            self._close_doomed()
        return pooled

    def _wait(self) -> Grant:
        options = self.options
        if options.max_waiting and len(self._state.waiters) >= options.max_waiting:
            raise PoolTimeout(self._exhausted(f"{options.max_waiting} already wait"))
        waiter = self.hub.new_waiter()
        self._state.enqueue(waiter)
        timer = self.hub.call_later(options.timeout, partial(wake, waiter))
        try:
            grant: Grant | None = suspend(waiter)
        except BaseException:
            # Critical section: cancelled, perhaps in the tick of the hand-over.
            self._state.leave(waiter, _granted(waiter))
            raise
        finally:
            timer.cancel()
        if grant is None:
            message = self._exhausted(f"none became free in {options.timeout:g} s")
            self._state.leave(waiter, None)
            raise PoolTimeout(message)
        return grant

    def _exhausted(self, what: str) -> str:
        statistics = self.statistics()
        shown = ", ".join(statistics.holders[:10])
        more = len(statistics.holders) - 10
        if more > 0:
            shown += f" and {more} more"
        return (
            f"No connection to {self.alias!r}: all {statistics.max_size} are in use "
            f"and {what}; {statistics.waiting} tasks are waiting. "
            f"They are held by: {shown}. "
            f'Raise OPTIONS["pool"]["max_size"], or make transactions shorter.'
        )

    def opened(self, connection: Any) -> Pooled:
        return self._state.opened(connection)

    def failed_to_open(self) -> None:
        self._state.failed_to_open()

    def give_back(self, pooled: Pooled) -> None:
        """
        Take back a connection that is clean. Suspends: no.
        """
        self._state.give_back(pooled)
        if self._state.doomed:
            self._close_doomed()
        if self._timer is None:
            self._retire()

    def rested(self, pooled: Pooled) -> float:
        """
        Return for how many seconds a connection was idle before it was taken.
        """
        return time.monotonic() - pooled.idle_since

    def discard(self, pooled: Pooled) -> None:
        """
        Close a connection and free its place. Suspends: no.
        """
        self._state.discard(pooled)
        pooled.connection.close()

    def clear(self) -> None:
        """
        Close the idle connections now.
        """
        self._state.clear()
        self._close_doomed()

    def close(self) -> None:
        """
        Close all connections, as the loop ends.
        """
        if self._timer is not None:
            self._timer.cancel()
        closing = [*self._state.idle, *self._state.leased]
        self.clear()
        for pooled in list(self._state.leased):
            self.discard(pooled)
        for pooled in closing:
            # A connection that is closed by a thread of its own.
            if hasattr(pooled.connection, "join"):
                pooled.connection.join()

    def _retire(self) -> None:
        """
        Close what has been idle for too long, now and again when it's time.
        """
        remaining = self._state.retire()
        self._close_doomed()
        self._timer = None
        if remaining is not None:
            self._timer = self.hub.call_later(remaining, self._retire)

    def _close_doomed(self) -> None:
        for pooled in self._state.take_doomed():
            pooled.connection.close()


def _granted(waiter: Any) -> Grant | None:
    """
    Return what a waiter was given that never came to use it.
    """
    if waiter.done() and not waiter.cancelled():
        return waiter.result()  # type: ignore[no-any-return]
    return None


def pools_of(hub: Hub) -> dict[str, LoopPool]:
    pools: dict[str, LoopPool] | None = getattr(hub, "pools", None)
    if pools is None:
        pools = hub.pools = {}  # type: ignore[attr-defined]
    return pools


def statistics(using: str = "default") -> PoolStatistics:
    """
    Return the state of the running event loop's pool for a database.

    Suspends: no. Runs in: the thread of the event loop.
    """
    pool = pools_of(current_hub()).get(using)
    if pool is None:
        from django.db import connections

        options = connections[using].pool_options()
        return PoolStatistics(0, 0, 0, options.max_size, ())
    return pool.statistics()
