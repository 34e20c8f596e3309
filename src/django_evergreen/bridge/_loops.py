"""
Which event loop runs here, and what the bridge keeps for it.

A :class:`Hub` is made once for each event loop. It holds the jobs that are
suspended on the loop and what must be closed with it, and it is the only place
that knows the loop's own API: another event loop is another subclass.

The end of a loop is noticed in three ways, the first of which suffices for
``asyncio.run`` and everything built like it: ``loop.shutdown_asyncgens()``
closes an async generator of the hub; the next new hub sweeps the hubs whose
loop is closed; and the rest is swept at exit.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from ..exceptions import NotInBridge

if TYPE_CHECKING:
    from ._greenlets import BridgeGreenlet

logger = logging.getLogger("django_evergreen.bridge")

READ, WRITE = 1, 2

# Returns the loop that runs in this thread or None: asyncio's own accessor,
# without the exception that get_running_loop() costs where none runs.
running_loop: Callable[[], Any] = asyncio._get_running_loop

# Returns the task that runs in this thread; only where a loop runs.
current_task: Callable[[], Any] = asyncio.current_task


class Waiter(Protocol):
    """
    One wait of one task, woken once; ``asyncio.Future`` is one.
    """

    def set_result(self, value: Any, /) -> None: ...
    def set_exception(self, error: BaseException, /) -> None: ...
    def done(self) -> bool: ...
    def __await__(self) -> Any: ...


def wake(waiter: Waiter) -> None:
    """
    End a wait without a result, unless it has ended: for timers.
    """
    if not waiter.done():
        waiter.set_result(None)


class Timer(Protocol):
    def cancel(self) -> None: ...


class WatchClosed(Exception):
    """
    Raised to who waits for a descriptor that is closed by another task.
    """


class FdWatch(Protocol):
    """
    The registration of a file descriptor, kept between waits.
    """

    # It became readable while nobody waited. For a database connection at
    # rest: most likely the server has closed it.
    suspect: bool

    def wait(
        self, events: int, *, timeout: float | None = None, shield: bool = False
    ) -> int:
        """
        Suspend until the descriptor is ready; return READ and WRITE bits, or 0
        after ``timeout`` seconds. With ``shield``, cancellations are absorbed.
        """

    def is_waiting(self) -> bool:
        """
        Return whether somebody waits now.
        """

    def close(self) -> None:
        """
        Forget the descriptor. Call it before the descriptor is closed. Who still
        waits gets :exc:`WatchClosed`.
        """


class Hub:
    """
    What the bridge keeps for one event loop, or for a thread without one.
    """

    # Waits for a database block the loop instead of suspending: for a moment in which
    # nothing else runs on it, as when a test is rolled back.
    blocks = False
    # What a cancelled wait raises.
    cancelled: type[BaseException] = asyncio.CancelledError

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.thread_id = threading.get_ident()
        # Every job that is suspended on this loop: the strong references which
        # keep greenlets from the garbage collector.
        self.suspended: set[BridgeGreenlet] = set()
        self._closers: list[Callable[[], None]] = []
        # Nothing that outlives this moment is to be started any more.
        self.is_ending = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.loop!r}>"

    def in_own_thread(self) -> bool:
        return threading.get_ident() == self.thread_id

    def is_closed(self) -> bool:
        return False

    def on_close(self, closer: Callable[[], None]) -> None:
        """
        Call ``closer()`` when the loop ends: in the bridge while the loop still
        runs, else plainly, in the thread that found it closed.
        """
        self._closers.append(closer)

    def take_closers(self) -> list[Callable[[], None]]:
        """
        Return the closers, the newest first, each of them only once.
        """
        closers, self._closers = self._closers[::-1], []
        return closers

    # The loop's own API. Without an event loop there is none.

    def new_waiter(self) -> Waiter:
        self._refuse()

    def watch(self, fd: int) -> FdWatch:
        self._refuse()

    def shielded(self, waiter: Waiter) -> Awaitable[Any]:
        self._refuse()

    def call_later(self, delay: float, fn: Callable[[], object]) -> Timer:
        self._refuse()

    def call_threadsafe(self, fn: Callable[..., object], *args: Any) -> None:
        self._refuse()

    def run_in_thread(self, fn: Callable[[], Any]) -> Awaitable[Any]:
        self._refuse()

    def run_from_thread(self, fn: Callable[[], Any]) -> Any:
        self._refuse()

    def shield_from_levels(self) -> AbstractContextManager[Any]:
        self._refuse()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        msg = (
            "Sync code in run_sync() can't wait for I/O here: no asyncio or uvloop "
            "event loop is running in this thread. Start one, for example with "
            "asyncio.run()."
        )
        raise NotInBridge(msg)


class _Local(threading.local):
    """
    The hub that this thread used last: mostly the only one.
    """

    hub: Hub | None = None


_local = _Local()
_hubs: dict[Any, Hub] = {}
# After a fork, the child's copies of its parent's hubs. Their connections and
# greenlets are in use there, and must be neither used nor finalized here.
_parents: list[Any] = []


def current_hub() -> Hub:
    """
    Return the hub of the loop that runs in this thread.
    """
    hub = _local.hub
    loop = running_loop()
    if hub is None or hub.loop is not loop:
        _local.hub = hub = _hub_of(loop)
    return hub


def _hub_of(loop: Any) -> Hub:
    if loop is None:
        return Hub(None)
    hub = _hubs.get(loop)
    if hub is None:
        # Imported here, because it needs the switch, which needs this module.
        from ._asyncio import AsyncioHub

        hub = _hubs[loop] = AsyncioHub(loop)
        # Afterwards, as closers may ask for the hub themselves.
        sweep_closed_loops()
    return hub


def sweep_closed_loops() -> None:
    """
    End what loops that were closed without ``shutdown_asyncgens()`` left over.
    """
    for loop, hub in list(_hubs.items()):
        if hub.is_closed() and hub.in_own_thread():
            del _hubs[loop]
            end(hub)


def end(hub: Hub) -> None:
    """
    Unwind the suspended jobs of a loop that will not run again, then close
    what was opened for it.
    """
    from ._switch import close  # As above.

    for g in list(hub.suspended):
        _log_error(close, g)
    for closer in hub.take_closers():
        _log_error(closer)


def _log_error(fn: Callable[..., object], *args: Any) -> None:
    """
    Call ``fn``; there is no caller to whom its error could be raised.
    """
    try:
        fn(*args)
    except BaseException:
        logger.exception("Error while ending what a closed event loop left over.")


@atexit.register
def _end_all() -> None:
    for hub in list(_hubs.values()):
        if hub.in_own_thread():
            end(hub)
    _hubs.clear()


def _forget_parent() -> None:
    _parents.append((_hubs.copy(), _local.hub))
    _hubs.clear()
    _local.hub = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
