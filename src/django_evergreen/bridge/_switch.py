"""
The switch: synchronous code that suspends, driven by a coroutine.

``run_sync(fn)`` runs ``fn`` in a greenlet. Where ``fn`` has to wait, it
switches an awaitable out to its driver, the coroutine of ``run_sync`` in the
same task, which awaits it and switches the result back in. So ``fn`` keeps the
task, the contextvars and the thread of its caller, and the task is suspended
exactly as if it had awaited by itself.

Guarantees:

- An exception of the awaitable, ``CancelledError`` too, is raised at the
  switch point inside ``fn``; an exception of ``fn`` is raised to the awaiter.
- When the driver is closed (``GeneratorExit``), ``fn`` unwinds at once, in
  this thread. It cannot wait any more while it does.
- Every suspended job is in its hub's registry until it is over, so no
  greenlet is left to the garbage collector with ``finally`` blocks to run.

Does not do: wait for anything by itself, or know Django.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, ParamSpec, TypeVar

from greenlet import getcurrent

from ..exceptions import NotInBridge, SwitchForbidden
from ._greenlets import DONE, BridgeGreenlet, acquire, release
from ._loops import current_hub, running_loop

P = ParamSpec("P")
T = TypeVar("T")


async def run_sync(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """
    Run a synchronous function that may suspend, and return its result.

    It is ``anyio.to_thread.run_sync`` without the thread: ``fn`` runs in this
    task and in this thread, and may wait by everything that knows the bridge:
    the database, :func:`await_`, :func:`offload`. It must not block by
    anything else.

    Suspends: wherever ``fn`` waits through the bridge, and nowhere else. Runs
    in: the calling task. On cancellation: ``CancelledError`` is raised inside
    ``fn``, where it waits.
    """
    # The greenlet that runs the job. Its parent is always who resumed it last,
    # which differs between resumptions when the loop starts tasks eagerly.
    g = acquire()
    g.parent = getcurrent()
    g.hub = hub = current_hub()
    # What the job switched out: an awaitable, or DONE.
    out = g.switch(fn, args, kwargs, sys.exception())
    if out is not DONE:
        hub.suspended.add(g)
        while out is not DONE:
            try:
                # What the wait came to, switched in to the job.
                value = await out
            except GeneratorExit:
                close(g)
                raise
            except BaseException as thrown:
                if g.closed:
                    raise
                g.parent = getcurrent()
                # With its traceback, else the frames of the coroutine are lost.
                out = g.throw(type(thrown), thrown, thrown.__traceback__)
            else:
                if g.closed:
                    # By the hub, which took the loop for dead.
                    raise GeneratorExit
                g.parent = getcurrent()
                out = g.switch(value)
        hub.suspended.discard(g)
    on_idle, result, error = g.on_idle, g.result, g.raised
    release(g)
    del g
    if on_idle is not None:
        on_idle()
    if error is None:
        return result  # type: ignore[no-any-return]
    try:
        raise error
    finally:
        # Break the cycle of the error, its traceback and this frame.
        del error


def close(g: BridgeGreenlet) -> None:
    """
    Unwind a suspended job now, without letting it wait again.

    In another thread than its own this is impossible: the job stays in the
    registry, and its hub closes it in its own thread.
    """
    hub = g.hub
    if g.closed or hub is None or not hub.in_own_thread():
        return
    g.closed = True
    g.refusal = _refuse_while_closing
    g.parent = getcurrent()
    try:
        g.throw(GeneratorExit)
    finally:
        hub.suspended.discard(g)
        error, on_idle = g.raised, g.on_idle
        release(g)
        if on_idle is not None:
            on_idle()
    if error is not None and not isinstance(error, GeneratorExit):
        raise error


def suspend(awaitable: Awaitable[T]) -> T:
    """
    Wait for an awaitable on behalf of a connection, which is kept.
    """
    g: Any = getcurrent()
    if g.refusal is not None:
        g.refusal(awaitable)
    try:
        return g.parent.switch(awaitable)  # type: ignore[no-any-return]
    except BaseException as thrown:
        error = thrown
    # Raised here and not there, because greenlet.throw() doesn't chain it to the
    # exception that the job is handling. The first traceback entry is the switch.
    traceback = error.__traceback__
    try:
        raise error.with_traceback(traceback and traceback.tb_next)
    finally:
        del error, traceback


def await_(awaitable: Awaitable[T]) -> T:
    """
    Wait for an awaitable from synchronous code in the bridge.

    Returns its result, or raises its exception. Outside the bridge the
    coroutine is closed and :exc:`NotInBridge` is raised. While it waits, the
    caller keeps no database connection that is not in a transaction.

    Suspends: yes. Runs in: sync code below :func:`run_sync`. On cancellation:
    raises ``CancelledError``.
    """
    g = getcurrent()
    if type(g) is not BridgeGreenlet:
        _refuse_outside(awaitable)
    if g.on_idle is not None:
        g.on_idle()
    return suspend(awaitable)


def in_bridge() -> bool:
    """
    Return whether this code may suspend by :func:`await_`.

    Suspends: no. Runs in: any thread.
    """
    return type(getcurrent()) is BridgeGreenlet


class no_switch:  # noqa: N801  (a context manager, named as a verb)
    """
    Forbid to suspend inside this block: for critical sections and for tests.

    A suspension raises :exc:`SwitchForbidden` before anything is awaited.
    Outside the bridge the block does nothing, as nothing can suspend there.

    Suspends: no. Runs in: any thread.
    """

    __slots__ = ("_entered_at", "_greenlet", "_outer")

    def __enter__(self) -> None:
        g = getcurrent()
        self._greenlet = g if type(g) is BridgeGreenlet else None
        if self._greenlet is not None:
            frame = sys._getframe(1)
            self._entered_at = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            self._outer = self._greenlet.refusal
            self._greenlet.refusal = self._outer or self._refuse

    def __exit__(self, *exc_info: object) -> None:
        if self._greenlet is not None:
            self._greenlet.refusal = self._outer

    def _refuse(self, awaitable: Any) -> NoReturn:
        msg = (
            f"{awaitable!r} would suspend inside the no_switch() block entered at "
            f"{self._entered_at}. Wait for it before or after the block."
        )
        _discard(awaitable)
        raise SwitchForbidden(msg)


def release_when_idle(callback: Callable[[], None]) -> None:
    """
    Call ``callback()`` before the running job waits for anything that is not
    the database, and when it ends.
    """
    g = getcurrent()
    if type(g) is BridgeGreenlet:
        g.on_idle = callback


def check_may_switch() -> None:
    """
    Raise now what :func:`suspend` would raise later: for code that must not
    stop half-way, as between sending a statement and reading its result.
    """
    g: Any = getcurrent()
    if g.refusal is not None:
        g.refusal(None)


def _refuse_while_closing(awaitable: Any) -> NoReturn:
    _discard(awaitable)
    raise GeneratorExit


def _refuse_outside(awaitable: Any) -> NoReturn:
    if running_loop() is None:
        state = "no event loop is running in this thread"
        remedy = "Use asgiref.sync.async_to_sync(...) here"
    else:
        state = "it was not called through run_sync()"
        remedy = (
            "Call the sync function with `await run_sync(function, ...)`, or "
            "decorate the coroutine function that calls it with @portal"
        )
    msg = f"This sync code can't wait for {awaitable!r}: {state}. {remedy}."
    _discard(awaitable)
    raise NotInBridge(msg)


def _discard(awaitable: Any) -> None:
    """
    Close a coroutine that nobody will await, so that it doesn't warn.
    """
    aclose = getattr(awaitable, "close", None)
    if aclose is not None:
        aclose()
