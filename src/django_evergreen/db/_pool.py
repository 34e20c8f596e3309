"""
The state of a pool: which connections are idle, and who waits for one.

Guarantees:

- There are never more than ``max_size`` connections, those being opened
  included.
- Who waits is served in the order of coming; nobody who comes later barges in.
- A waiter that leaves takes nothing along: what it was given goes to the next.

Does no I/O and has no switch point, so every method is a critical section. The
connections it wants closed are left in :attr:`doomed`, and the caller closes
them afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ._options import PoolOptions


class Grant:
    """
    The right to one of the pool's ``max_size`` places.
    """

    __slots__ = ()


class OpenOne(Grant):
    """
    A free place: its holder opens a connection for it.
    """

    def __repr__(self) -> str:
        return "OPEN_ONE"


OPEN_ONE = OpenOne()


@dataclass(eq=False, slots=True)
class Pooled(Grant):
    """
    A physical connection and what the pool must know about it.
    """

    connection: Any
    # Monotonic seconds, like the next.
    expires_at: float
    # When it was given back last.
    idle_since: float = 0.0
    # Who uses it: shown when the pool is exhausted.
    holder: Any = None
    # How many open cursors need it kept by its holder.
    pins: int = 0
    # Not to be lent again: its session has state of its holder's, or a
    # cancellation is under way that might hit another statement.
    is_spent: bool = False
    # Server-side cursors that are open.
    cursors: list[Any] = field(default_factory=list)
    # Those of them that are to be closed before the next user gets it.
    abandoned: list[Any] = field(default_factory=list)


class _Ended:
    """
    Who owns a connection at rest, and the wrapper of a task that has ended.
    """

    task = object()

    def admits(self, connection: Any) -> bool:
        return False

    def interrupted(self, connection: Any, error: BaseException) -> None:
        """
        Do nothing: nobody has a transaction on a connection at rest.
        """

    def __repr__(self) -> str:
        return "a task that has ended"


ENDED = _Ended()


class Waiting(Protocol):
    """
    Who waits for a grant: a future.
    """

    def set_result(self, grant: Any, /) -> None: ...
    def set_exception(self, error: BaseException, /) -> None: ...
    def done(self) -> bool: ...


@dataclass(slots=True)
class Pool:
    """
    Counts and queues; see the module.
    """

    options: PoolOptions
    # Monotonic seconds.
    now: Callable[[], float]
    # Whether an idle connection is known to be unusable.
    is_broken: Callable[[Any], bool] = lambda connection: False
    # Connections that exist or are being opened: idle, or granted.
    size: int = 0
    idle: deque[Pooled] = field(default_factory=deque)
    leased: set[Pooled] = field(default_factory=set)
    waiters: deque[Waiting] = field(default_factory=deque)
    doomed: list[Pooled] = field(default_factory=list)
    is_closed: bool = False

    def take(self) -> Grant | None:
        """
        Return a place at once, or None: then :meth:`enqueue` and wait.
        """
        pooled = self.take_idle()
        if pooled is not None:
            return pooled
        if self.size < self.options.max_size:
            self.size += 1
            return OPEN_ONE
        return None

    def reserve(self) -> bool:
        """
        Reserve a place for a connection that is opened before it is needed: like
        :data:`OPEN_ONE`, if there are fewer than ``min_size``.
        """
        if not self.needs_more():
            return False
        self.size += 1
        return True

    def needs_more(self) -> bool:
        return self.size < self.options.min_size and not self.is_closed

    def take_idle(self) -> Pooled | None:
        """
        Return an idle connection, if there is a fit one.
        """
        while self.idle:
            # The one used last: the others may grow old and be closed.
            pooled = self.idle.pop()
            if self.now() < pooled.expires_at and not self.is_broken(pooled.connection):
                self.leased.add(pooled)
                return pooled
            self.size -= 1
            self.doomed.append(pooled)
        return None

    def enqueue(self, waiter: Waiting) -> None:
        self.waiters.append(waiter)

    def leave(self, waiter: Waiting, grant: Grant | None) -> None:
        """
        Take a waiter out, and what it may have been given meanwhile.
        """
        if waiter in self.waiters:
            self.waiters.remove(waiter)
        elif grant in self.leased or grant is OPEN_ONE:
            # Not a connection that was closed meanwhile.
            self._pass_on(grant)

    def opened(self, connection: Any) -> Pooled:
        """
        Record the connection for which :data:`OPEN_ONE` was granted.
        """
        pooled = Pooled(connection, self.now() + self.options.max_lifetime)
        self.leased.add(pooled)
        return pooled

    def give_back(self, pooled: Pooled) -> None:
        """
        Take back a connection that is fit for the next user.
        """
        pooled.idle_since = now = self.now()
        if (
            self.is_closed
            or pooled.is_spent
            or now >= pooled.expires_at
            or pooled not in self.leased
            or (self.waiters and self.is_broken(pooled.connection))
        ):
            self.discard(pooled)
            self.doomed.append(pooled)
        elif self.waiters:
            self._pass_on(pooled)
        else:
            pooled.holder = None
            self.leased.remove(pooled)
            self.idle.append(pooled)

    def discard(self, pooled: Pooled) -> None:
        """
        Strike off a connection, which its holder closes.
        """
        # Not if its pool was closed before its holder knew.
        if pooled in self.leased:
            self.leased.remove(pooled)
            self._pass_on(OPEN_ONE)

    def failed_to_open(self) -> None:
        """
        Free the place for which no connection could be opened.
        """
        self._pass_on(OPEN_ONE)

    def _pass_on(self, grant: Grant) -> None:
        """
        Give a place to the first who waits, or keep it.
        """
        for waiter in self.waiters:
            # One that is done has been cancelled and is about to leave.
            if not waiter.done():
                self.waiters.remove(waiter)
                if isinstance(grant, Pooled):
                    self.leased.add(grant)
                waiter.set_result(grant)
                return
        if isinstance(grant, Pooled):
            grant.holder = None
            self.leased.discard(grant)
            self.idle.append(grant)
        else:
            self.size -= 1

    def retire(self) -> float | None:
        """
        Doom what has been idle too long; return the seconds until the next is.
        """
        max_idle, now = self.options.max_idle, self.now()
        while self.idle and self.size > self.options.min_size:
            remaining = self.idle[0].idle_since + max_idle - now
            if remaining > 0:
                return remaining
            self.size -= 1
            self.doomed.append(self.idle.popleft())
        return None

    def clear(self) -> None:
        """
        Doom all connections, for example since the settings have changed: those
        in use when they are given back.
        """
        for pooled in self.leased:
            pooled.expires_at = self.now()
        self.size -= len(self.idle)
        self.doomed.extend(self.idle)
        self.idle.clear()

    def close(self) -> list[Waiting]:
        """
        Doom all connections, those in use too; return who waited for one.
        """
        self.is_closed = True
        closing = self.connections()
        self.doomed += closing
        self.size -= len(closing)
        self.idle.clear()
        self.leased.clear()
        waiters = list(self.waiters)
        self.waiters.clear()
        return waiters

    def has_closed(self, grant: Grant) -> bool:
        """
        Return whether a connection was closed with the pool before it could be used.
        """
        return isinstance(grant, Pooled) and grant not in self.leased

    def connections(self) -> list[Pooled]:
        return [*self.idle, *self.leased]

    def is_quiet(self) -> bool:
        """
        Return whether nobody uses a connection or waits for one.
        """
        return not self.leased and not self.waiters and self.size == len(self.idle)

    def take_doomed(self) -> list[Pooled]:
        doomed, self.doomed = self.doomed, []
        return doomed
