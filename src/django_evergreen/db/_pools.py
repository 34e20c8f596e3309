"""
The pools of an event loop: one for each alias, closed with the loop.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..bridge._loops import Hub, Timer, Waiter, current_hub, wake
from ..bridge._switch import run_sync, suspend
from ._errors import PoolTimeout
from ._lobby import Lobby
from ._options import PoolOptions
from ._pool import Grant, Pool, Pooled
from ._statistics import PoolStatistics

logger = logging.getLogger("django_evergreen.pool")


# Seconds after which a pool that could not be filled is tried again.
FILL_AGAIN = 5.0


# Those that many wait for.
crowded: set[LoopPool] = set()


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
        self._opened = self._timeouts = 0
        # Opens a connection up to min_size, and returns whether it did.
        self.add_one: Callable[[], bool] = lambda: False
        self._is_filling = False
        # Not to be tried again before, after a failure; in monotonic seconds.
        self._fill_after = 0.0
        # Who waits until nobody uses a connection.
        self._draining: list[Waiter] = []
        # Who waits to begin, while others wait for a connection.
        self._lobby = Lobby(hub)
        hub.on_close(self.close)

    def __repr__(self) -> str:
        s = self.statistics()
        opening = s.size - s.idle - len(s.holders)
        return (
            f"<LoopPool {self.alias!r}: {s.size} of {s.max_size} connections ({s.idle} "
            f"idle, {len(s.holders)} in use, {opening} being opened), {s.waiting} "
            f"waiting; held by: {s.named_holders() or 'nobody'}; {s.opened} opened "
            f"and {s.timeouts} timeouts so far>"
        )

    def statistics(self) -> PoolStatistics:
        state = self._state
        return PoolStatistics(
            size=state.size,
            idle=len(state.idle),
            waiting=self._count_waiting(),
            max_size=self.options.max_size,
            holders=tuple(sorted(str(pooled.holder) for pooled in state.leased)),
            opened=self._opened,
            timeouts=self._timeouts,
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

    def _count_waiting(self) -> int:
        return len(self._state.waiters) + len(self._lobby)

    def _check_max_waiting(self) -> None:
        limit = self.options.max_waiting
        if limit and self._count_waiting() >= limit:
            self._timeouts += 1
            raise PoolTimeout(self._exhausted(f"{limit} already wait"))

    def _wait(self) -> Grant:
        self._check_max_waiting()
        waiter = self.hub.new_waiter()
        self._state.enqueue(waiter)
        if len(self._state.waiters) >= self.options.max_size:
            crowded.add(self)
        try:
            return self._wait_for_grant(waiter)
        finally:
            if self in crowded:
                self._admit()

    def _wait_for_grant(self, waiter: Waiter) -> Grant:
        timer = self.hub.call_later(self.options.timeout, partial(wake, waiter))
        try:
            grant: Grant | None = suspend(waiter)
        except BaseException:
            # Critical section: cancelled, perhaps in the tick of the hand-over.
            self._state.leave(waiter, _granted(waiter))
            raise
        finally:
            timer.cancel()
        if grant is None:
            message = self._too_late()
            self._state.leave(waiter, None)
            self._timeouts += 1
            raise PoolTimeout(message)
        if self._state.has_closed(grant):
            # In the tick of the hand-over.
            raise self._closed()
        return grant

    def _closed(self) -> PoolTimeout:
        return PoolTimeout(f"{self!r} was closed.")

    def is_crowded(self) -> bool:
        """
        Return whether a query that begins now would find a full queue.
        """
        return bool(self._lobby) or len(self._state.waiters) >= self.options.max_size

    async def wait_in_lobby(self) -> None:
        """
        Wait until fewer wait for a connection. Suspends: yes. Raises
        :exc:`PoolTimeout`.
        """
        self._check_max_waiting()
        waiter = self._lobby.enter(self.options.timeout)
        try:
            is_admitted = await waiter
        except BaseException:
            if self._lobby.leave(waiter):
                # It was his turn, which is the next one's now.
                self._admit()
            raise
        if not is_admitted:
            message = self._too_late()
            self._lobby.leave(waiter)
            self._timeouts += 1
            raise PoolTimeout(message)

    def leave_lobby(self) -> None:
        """
        Let the next one begin when a query has ended that was in the lobby, unless
        those who wait for a connection will do it.
        """
        if not self._state.waiters:
            self._admit()

    def _admit(self) -> None:
        """
        Let the next one begin, in place of one who waits no more for a connection.
        """
        self._lobby.admit()
        if not self.is_crowded():
            crowded.discard(self)

    def _too_late(self) -> str:
        return self._exhausted(f"none became free in {self.options.timeout:g} s")

    def _exhausted(self, what: str) -> str:
        statistics = self.statistics()
        return (
            f"No connection to {self.alias!r}: all {statistics.max_size} are in use "
            f"and {what}; {statistics.waiting} tasks are waiting. "
            f"They are held by: {statistics.named_holders()}. "
            f'Raise OPTIONS["pool"]["max_size"], or make transactions shorter.'
        )

    def reserve(self) -> bool:
        """
        Return whether the caller shall open a connection, to have ``min_size``.
        """
        return self._state.reserve()

    def opened(self, connection: Any) -> Pooled:
        self._opened += 1
        pooled = self._state.opened(connection)
        self._notice_change()
        return pooled

    def failed_to_open(self) -> None:
        self._state.failed_to_open()
        self._notice_change()

    def fill(self) -> None:
        """
        Open connections up to ``min_size``. Suspends: yes.
        """
        self._is_filling = True
        try:
            while self.add_one():
                pass
        finally:
            self._is_filling = False

    async def _fill_in_background(self) -> None:
        try:
            await run_sync(self.fill)
        except Exception as error:
            # Whoever needs a connection next will see the error himself.
            logger.warning("%r could not be filled: %s", self, error)
            self._fill_after = time.monotonic() + FILL_AGAIN

    def _notice_change(self) -> None:
        """
        Open what is missing, and wake those who wait for the pool to be quiet.
        """
        if self._draining and self._state.is_quiet():
            for waiter in self._draining:
                wake(waiter)
        elif (
            self._state.needs_more() and not self._is_filling and not self.hub.is_ending
        ):
            self.fill_soon()

    def fill_soon(self) -> None:
        """
        Same as :meth:`fill`, in the background.
        """
        if not self.hub.is_ending and time.monotonic() >= self._fill_after:
            self._is_filling = True
            self.hub.spawn(self._fill_in_background())

    def drain(self, timeout: float) -> bool:
        """
        Wait until nobody uses a connection, or the time is over; return which.

        Suspends: yes, for ``timeout`` seconds at most.
        """
        if self._state.is_quiet():
            return True
        waiter = self.hub.new_waiter()
        self._draining.append(waiter)
        timer = self.hub.call_later(timeout, partial(wake, waiter))
        try:
            suspend(waiter)
        finally:
            timer.cancel()
            self._draining.remove(waiter)
        return self._state.is_quiet()

    def give_back(self, pooled: Pooled) -> None:
        """
        Take back a connection that is clean. Suspends: no.
        """
        self._state.give_back(pooled)
        if self._state.doomed:
            self._close_doomed()
        if self._timer is None:
            self._retire()
        if self._draining:
            self._notice_change()

    def take_back(self, grant: Grant) -> None:
        """
        Take back what nobody has used. Suspends: no.
        """
        if isinstance(grant, Pooled):
            self.give_back(grant)
        else:
            self.failed_to_open()

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
        _close(pooled)
        self._notice_change()

    def clear(self) -> None:
        """
        Close the idle connections now, and the others when they are given back.
        """
        self._state.clear()
        self._close_doomed()

    def close(self) -> None:
        """
        Close all connections, those in use too, and send away who waits. Wait,
        blocking, for those that are closed by a thread of their own.
        """
        if self._timer is not None:
            self._timer.cancel()
        # The wrappers that know this pool look for another one.
        self.database = None
        connections = [p.connection for p in self._state.connections()]
        waiters = [*self._state.close(), *self._lobby.close()]
        crowded.discard(self)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(self._closed())
        self._close_doomed()
        for connection in connections:
            if hasattr(connection, "join"):
                connection.join()

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
            _close(pooled)
        self._notice_change()


def _close(pooled: Pooled) -> None:
    pooled.connection.close()
    pooled.abandoned += pooled.cursors
    pooled.cursors.clear()
    while pooled.abandoned:
        # So that they don't warn. Nothing is sent any more.
        with contextlib.suppress(Exception):
            pooled.connection.forget_cursor(pooled.abandoned.pop())


def _granted(waiter: Any) -> Grant | None:
    """
    Return what a waiter was given that never came to use it.
    """
    if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
        return None
    return waiter.result()  # type: ignore[no-any-return]


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
