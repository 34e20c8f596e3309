"""
A lock for greenlets: who waits suspends, and the loop runs on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ..exceptions import NotInBridge
from ._loops import Waiter, current_hub
from ._switch import in_bridge, suspend


class BridgeLock:
    """
    Replaces the ``threading.Lock`` of a connection that tasks share.

    Waiters get it in the order of their coming. ``release()`` hands it over to
    the first of them, so that nobody who comes later barges in.
    """

    __slots__ = ("_waiters", "locked")

    def __init__(self) -> None:
        self.locked = False
        self._waiters: deque[Waiter | Any] = deque()

    def __repr__(self) -> str:
        state = "locked" if self.locked else "unlocked"
        return f"<BridgeLock {state}, {len(self._waiters)} waiting>"

    def acquire(self) -> None:
        if self.locked:
            self._wait()
        self.locked = True

    def _wait(self) -> None:
        if not in_bridge():
            msg = (
                f"{self!r} can't be waited for outside the bridge: another task holds "
                "it, which could not go on. Use the connection in `await run_sync()`."
            )
            raise NotInBridge(msg)
        waiter = current_hub().new_waiter()
        self._waiters.append(waiter)
        try:
            self._suspend(waiter)
        except BaseException:
            # Critical section: cancelled in the very tick of the hand-over.
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            else:
                self.release()
            raise

    def _suspend(self, waiter: Waiter) -> None:
        """
        Wait, for subclasses that have more to do meanwhile.
        """
        suspend(waiter)

    def release(self) -> None:
        for waiter in self._waiters:
            # One that is done was cancelled and is about to leave by itself.
            if not waiter.done():
                self._waiters.remove(waiter)
                waiter.set_result(None)
                return
        self.locked = False

    def call_when_free(self, fn: Callable[[], None]) -> None:
        """
        Have ``fn()`` called by who releases the lock as the last of those who hold it
        or wait for it now. It must not suspend.
        """
        self._waiters.append(_Call(self, fn))

    def __enter__(self) -> bool:
        if self.locked:
            self._wait()
        self.locked = True
        return True

    def __exit__(self, *exc_info: object) -> None:
        if self._waiters:
            self.release()
        else:
            self.locked = False


class _Call:
    """
    Waits for the lock as a task does, but is called when it gets it.
    """

    __slots__ = ("_fn", "_lock")

    def __init__(self, lock: BridgeLock, fn: Callable[[], None]) -> None:
        self._lock, self._fn = lock, fn

    def done(self) -> bool:
        return False

    def set_result(self, result: None) -> None:
        try:
            self._fn()
        finally:
            self._lock.release()
