"""
Where queries wait that have not begun, when a pool is crowded.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from ..bridge._loops import Hub, Timer, wake


class Lobby:
    """
    Who waits to begin, in the order of coming; which of them, the pool decides.

    Has no switch point, so every method is a critical section.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # And until when, in monotonic seconds.
        self._waiters: OrderedDict[Any, float] = OrderedDict()
        # One for all, as each costs memory.
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._waiters)

    def enter(self, timeout: float) -> Any:
        """
        Return what to await: True when it's one's turn, None after ``timeout`` seconds.
        Then, and when cancelled, :meth:`leave`.
        """
        waiter: Any = self._hub.new_waiter()
        self._waiters[waiter] = time.monotonic() + timeout
        if self._timer is None:
            self._end_late_waits()
        return waiter

    def leave(self, waiter: Any) -> bool:
        """
        Take a waiter out; return whether it had been admitted meanwhile.
        """
        self._waiters.pop(waiter, None)
        has_ended = waiter.done() and not waiter.cancelled()
        return has_ended and not waiter.exception() and bool(waiter.result())

    def admit(self) -> None:
        """
        Let the first one begin, if any is there.
        """
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            # One that is done is late, or was cancelled, and is about to leave.
            if not waiter.done():
                waiter.set_result(True)
                break

    def close(self) -> list[Any]:
        """
        Return who is still there, to be sent away.
        """
        if self._timer is not None:
            self._timer.cancel()
        waiters = list(self)
        self._waiters.clear()
        return waiters

    def _end_late_waits(self) -> None:
        self._timer = None
        now = time.monotonic()
        for waiter, deadline in self._waiters.items():
            if deadline > now:
                self._timer = self._hub.call_later(deadline - now, self._end_late_waits)
                return
            wake(waiter)
