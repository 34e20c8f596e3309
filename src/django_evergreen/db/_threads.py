"""
Threads that take part in the transaction of a task, or work on an errand of it.

The connection stays in its loop's thread: the thread has each statement run there,
and blocks until it's done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..bridge._loops import Hub
from ..bridge._switch import in_bridge
from ._errands import current_errand
from ._transactions import current_block


def on_loop_of(hub: Hub, fn: Callable[[], Any]) -> Any:
    """
    Return ``fn()``, run in the bridge: here, or on its loop if this is a thread.
    """
    if in_bridge() or hub.in_own_thread():
        return fn()
    return hub.run_from_thread(fn)


def _on_loop(name: str) -> Any:
    def method(self: ThreadCursor, *args: Any, **kwargs: Any) -> Any:
        call, take_turn = getattr(self._cursor, name), self._find_turn()

        def call_in_turn() -> Any:
            take_turn()
            return call(*args, **kwargs)

        result = self.run(call_in_turn)
        return self if result is self._cursor else result

    method.__name__ = name
    return method


class Pin:
    """
    Keeps the connection of a wrapper while a thread that is on an errand needs it.
    """

    __slots__ = ("_pooled", "_wrapper")

    def __init__(self, wrapper: Any) -> None:
        self._wrapper, self._pooled = wrapper, wrapper._lease
        if self._pooled is not None:
            self._pooled.pins += 1

    def end(self) -> None:
        pooled, self._pooled = self._pooled, None
        if pooled is not None:
            self._wrapper.unpin(pooled)


class ThreadCursor:
    """
    A cursor, used by a thread. What it does is done on the loop.
    """

    def __init__(self, cursor: Any, wrapper: Any, pin: Pin | None = None) -> None:
        self._cursor = cursor
        self._wrapper = wrapper
        self._hub: Hub = wrapper._scope.hub
        # What ends with it.
        self._pin = pin

    def run(self, fn: Callable[[], Any]) -> Any:
        """
        Return ``fn()``, run where statements are sent.
        """
        # Not the one on which it was opened: that may be over.
        if (errand := current_errand()) is not None:
            return errand.call(fn)
        return on_loop_of(self._hub, fn)

    def _find_turn(self) -> Callable[[], None]:
        """
        Return how the statement waits for its turn, where it is sent.
        """
        block = current_block(self._wrapper.alias)
        if block is None:
            # It's on an errand; or used outside the block, which the connection will
            # refuse.
            return lambda: None
        block.check_usable()
        # Who ends a block has the turn.
        return block.take_turn if block.is_open else lambda: None

    execute = _on_loop("execute")
    executemany = _on_loop("executemany")
    callproc = _on_loop("callproc")
    fetchone = _on_loop("fetchone")
    fetchmany = _on_loop("fetchmany")
    fetchall = _on_loop("fetchall")
    nextset = _on_loop("nextset")
    scroll = _on_loop("scroll")

    def close(self) -> None:
        take_turn = self._find_turn()

        def close_in_turn() -> None:
            try:
                take_turn()
                self._cursor.close()
            finally:
                if self._pin is not None:
                    self._pin.end()

        self.run(close_in_turn)

    def __iter__(self) -> Any:
        while (row := self.fetchone()) is not None:
            yield row

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
