"""
Objects of which every event loop has its own: clients kept in a module.

A client of Redis, HTTP or Elasticsearch belongs to the loop on which it made
its first connection. A name in a module outlives that loop: each test, each
``asyncio.run()`` and each ``async_to_sync()`` in a thread may have another one.

Guarantees: one object for each loop, made by its first use; it is closed with
its loop, also if the :class:`LoopLocal` is gone by then; no thread and no child
of a fork gets an object of another loop.

Does not do: keep an object over the end of its loop, or share one between
threads.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar

from ..exceptions import NotInBridge
from . import _loops
from ._loops import Hub, current_hub, current_task, running_loop
from ._switch import await_, no_switch, run_sync

T = TypeVar("T")

# Seconds that closing one object may take when its loop ends: nobody is left
# who could cancel it.
CLOSE_TIMEOUT = 10.0


class LoopLocal(Generic[T]):
    """
    Keep one object for each event loop: made lazily, closed with its loop.

    It is for what belongs to a loop and has a name in a module::

        redis = LoopLocal(lambda: Redis.from_url(URL), close=Redis.aclose)

        await redis().get("key")
        await redis.get("key")  # the same

    Calling it is the explicit way, which type checkers understand. Public
    attributes are those of the running loop's object, so that code which was
    written for a global client stays as it is. That goes as far as ``.`` goes:
    for ``async with`` and ``[]``, and to replace an attribute, call it first.
    Don't keep ``redis()`` or ``redis.get`` for longer than its loop.

    Nothing is closed that you don't close: ``close`` has no default.

    Args:
        factory: makes the object, in the running loop and without waiting.
        close: is called with the object, in the bridge, when the loop ends; what
            it returns is awaited if it can be. ``None`` for what needs no
            closing, such as an ``asyncio.Lock``. What was made first is closed
            last. Errors are logged, and after ten seconds it is given up.

    Suspends: no; :meth:`aclose` does. Runs in: any thread, to make a LoopLocal;
    that of an event loop, to use it.
    """

    __slots__ = ("__weakref__", "_close", "_factory", "_held")

    def __init__(
        self, factory: Callable[[], T], *, close: Callable[[T], object] | None
    ) -> None:
        _check(factory, close)
        self._factory = factory
        self._close = close
        # The hubs that know of it, with their object, or with none after aclose().
        self._held: dict[Hub, list[T]] = {}

    def __repr__(self) -> str:
        # A child of a fork keeps what its parent uses, but doesn't have it.
        hubs = set(_loops._hubs.values())
        loops = sum(hub in hubs for hub, held in tuple(self._held.items()) if held)
        return f"<LoopLocal of {_name(self._factory)}, event loops: {loops}>"

    def __call__(self) -> T:
        """
        Return the object of the running loop; make it if there is none.

        Where no loop is running :exc:`NotInBridge` is raised, and also where a
        new object would be needed although the loop is ending.

        Suspends: no. Runs in: the thread of an event loop, in async code and in
        the bridge.
        """
        hub = current_hub()
        held = self._held.get(hub)
        return held[0] if held else self._make(hub)

    def __getattr__(self, name: str) -> Any:
        # Others are for introspection (inspect, copy, pickle, pytest), which is
        # to make no object and needs no loop.
        if name.startswith("_"):
            # Without a repr(), which a half-made copy can't give.
            msg = f"LoopLocal has no {name!r}, and passes on public attributes only."
            raise AttributeError(msg, name=name, obj=self)
        return getattr(self(), name)

    async def aclose(self) -> None:
        """
        Close the object of the running loop now. The next use makes a new one.

        Errors of ``close`` are raised. Without an object nothing is done.

        Suspends: where ``close`` waits. Runs in: the calling task. On
        cancellation: raises ``CancelledError`` inside ``close``; the object is
        not used any more.
        """
        held = self._held.get(current_hub())
        if held:
            # Before the wait, in which other tasks may want an open one.
            obj = held.pop()
            if self._close is not None:
                await _closed(self._close, obj)

    def _make(self, hub: Hub) -> T:
        if hub.loop is None or hub.is_ending:
            self._refuse(hub)
        # Else two tasks could make one each.
        with no_switch():
            obj = self._factory()
        if inspect.iscoroutine(obj):
            obj.close()
            _refuse_coroutine(self._factory)
        held = self._held.get(hub)
        if held is None:
            held = self._held[hub] = []
            # Without a reference to this LoopLocal, which may go before the loop.
            hub.on_close(functools.partial(_end, hub, self._held, self._close))
        held.append(obj)
        return obj

    def _refuse(self, hub: Hub) -> NoReturn:
        if hub.loop is None:
            msg = (
                f"{self!r} has one object for each event loop, and none is running in "
                "this thread. Use it in a coroutine or in sync code called by `await "
                "run_sync(function, ...)`; a plain thread runs a coroutine that uses "
                "it by asgiref.sync.async_to_sync(...)."
            )
        else:
            msg = (
                f"{self!r} makes no new object for {hub.loop!r}: that loop is ending, "
                "and closes what it has. Use it before the main coroutine returns."
            )
        raise NotInBridge(msg)


def _end(
    hub: Hub, held: dict[Hub, list[T]], close: Callable[[T], object] | None
) -> None:
    """
    Close the object of a loop that ends or has ended.
    """
    try:
        for obj in held[hub]:
            if close is not None:
                _close_at_the_end(hub, close, obj)
    finally:
        # Not before: what is closed may use itself.
        del held[hub]


def _close_at_the_end(hub: Hub, close: Callable[[T], object], obj: T) -> None:
    try:
        # Then this is the bridge. Not current_hub(), which may be what has found
        # the loop closed.
        if running_loop() is hub.loop:
            await_(_closed_in_time(close, obj))
            return
        result = close(obj)
    except Exception as error:
        error.add_note(f"It was raised by closing {obj!r} with its event loop.")
        raise
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        msg = (
            f"{obj!r} was not closed: {_name(close)}() has to be awaited, and "
            f"{hub.loop!r} has ended without loop.shutdown_asyncgens(). Use "
            "asyncio.run() or asyncio.Runner, or await aclose() of its LoopLocal."
        )
        warnings.warn(msg, ResourceWarning, stacklevel=2, source=obj)


async def _closed_in_time(close: Callable[[T], object], obj: T) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await _closed(close, obj)
    except asyncio.CancelledError as error:
        if current_task().cancelling():
            raise
        # It comes from a task of the object, and must not keep the hub from
        # closing the others.
        msg = f"{_name(close)} raised CancelledError although nobody cancelled it."
        raise RuntimeError(msg) from error


async def _closed(close: Callable[[T], object], obj: T) -> None:
    result = await run_sync(close, obj)
    if inspect.isawaitable(result):
        await result


def _check(factory: Any, close: Any) -> None:
    """
    Refuse what can't work when the LoopLocal is made, not when it is used.
    """
    if not callable(factory):
        msg = (
            f"LoopLocal needs a function that makes the object, and {factory!r} is "
            "none. Write `LoopLocal(lambda: ..., close=...)`."
        )
        raise TypeError(msg)
    if close is not None and not callable(close):
        msg = f"LoopLocal needs a function to close with, or None, not {close!r}."
        raise TypeError(msg)
    if inspect.iscoroutinefunction(factory):
        _refuse_coroutine(factory)


def _refuse_coroutine(factory: Callable[..., object]) -> NoReturn:
    msg = (
        f"LoopLocal can't await {_name(factory)}, which returns a coroutine. Make the "
        "object in a sync function, and connect by its first use."
    )
    raise TypeError(msg)


def _name(function: Callable[..., object]) -> str:
    name = getattr(function, "__qualname__", None)
    return repr(function) if name is None else f"{function.__module__}.{name}"
