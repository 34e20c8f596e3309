"""
asyncio, and every loop that speaks its API, as uvloop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import select
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, NoReturn

from ..exceptions import NotInBridge
from ._loops import READ, WRITE, Hub, WatchClosed, logger
from ._switch import run_sync, suspend

# Seconds in which the loop must begin what a thread asks it for.
START_TIMEOUT = 30.0

# Seconds that cleaning up may take when the loop ends.
BACKGROUND_TIMEOUT = 5.0


class AsyncioHub(Hub):
    """
    What the bridge keeps for one asyncio event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._background: set[asyncio.Task[None]] = set()
        # What threads wait for.
        self._of_threads: set[concurrent.futures.Future[Any]] = set()
        # Started by hand up to its yield, so that the loop knows it and closes
        # it in shutdown_asyncgens().
        self._shutdown_hook = self._until_shutdown()
        with contextlib.suppress(StopIteration):  # How it returns what it yielded.
            self._shutdown_hook.asend(None).send(None)

    async def _until_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.is_ending = True
            await self._end_background()
            cancelled = None
            for closer in self.take_closers():
                # The others have to be closed all the same.
                try:
                    await run_sync(closer)
                except asyncio.CancelledError as error:
                    cancelled = error
                except Exception:
                    logger.exception("Error while closing what %r held.", self)
            if cancelled is not None:
                raise cancelled

    async def _end_background(self) -> None:
        """
        Give the hub's own tasks a moment to end by themselves, then cancel them.
        """
        if not self._background:
            return
        _, late = await asyncio.wait(self._background, timeout=BACKGROUND_TIMEOUT)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def is_closed(self) -> bool:
        return bool(self.loop.is_closed())

    def new_waiter(self) -> asyncio.Future[Any]:
        return self.loop.create_future()  # type: ignore[no-any-return]

    def watch(self, fd: int) -> AsyncioFdWatch:
        return AsyncioFdWatch(self, fd)

    def call_later(self, delay: float, fn: Callable[[], object]) -> asyncio.TimerHandle:
        return self.loop.call_later(delay, fn)  # type: ignore[no-any-return]

    def call_threadsafe(self, fn: Callable[..., object], *args: Any) -> None:
        # Between a caller's look and this call the loop may have been closed.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(fn, *args)

    async def shielded(self, waiter: Any) -> Any:
        try:
            return await asyncio.shield(waiter)
        except asyncio.CancelledError:
            if waiter.done():
                return waiter.result()
        anyio = sys.modules.get("anyio")
        if anyio is not None:
            # anyio cancels again at every turn of the loop, unless told so.
            with anyio.CancelScope(shield=True):
                return await _absorbing_cancellation(waiter)
        return await _absorbing_cancellation(waiter)

    def run_in_thread(self, fn: Callable[[], Any]) -> Awaitable[Any]:
        context = contextvars.copy_context()
        return self.loop.run_in_executor(None, context.run, fn)  # type: ignore[no-any-return]

    def shield_from_levels(self) -> contextlib.AbstractContextManager[Any]:
        """
        Return a block in which anyio doesn't cancel again what it has cancelled.
        """
        anyio = sys.modules.get("anyio")
        if anyio is None:
            return contextlib.nullcontext()
        return anyio.CancelScope(shield=True)  # type: ignore[no-any-return]

    def run_from_thread(self, fn: Callable[[], Any]) -> Any:
        """
        Return ``fn()``, run in the bridge on this loop, in a task with the
        context of the calling thread, which blocks meanwhile.
        """
        job = concurrent.futures.Future[Any]()
        self._of_threads.add(job)
        self.call_threadsafe(self._start, job, fn, contextvars.copy_context())
        if self.is_closed():
            self._refuse_threads()
        try:
            return self._result_of(job)
        finally:
            self._of_threads.discard(job)

    def _result_of(self, job: concurrent.futures.Future[Any]) -> Any:
        try:
            return job.result(START_TIMEOUT)
        except TimeoutError:
            if not job.cancel():
                # It has begun at least.
                return job.result()
        frame = sys._current_frames().get(self.thread_id)
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "nowhere"
        msg = (
            "The event loop, on which this thread's query has to run, was blocked for "
            f"{START_TIMEOUT:g} s. It is at {where}. If it waits there for the thread, "
            "start that by `await asyncio.to_thread(...)` or by offload(...)."
        )
        raise NotInBridge(msg)

    def _start(self, job: Any, fn: Callable[[], Any], context: Any) -> None:
        if not job.set_running_or_notify_cancel():
            return
        if len(self._of_threads) == 1:
            # For those who still wait when the loop has stopped.
            self.on_close(self._refuse_threads)
        try:
            task = self.loop.create_task(run_sync(fn), context=context)
        except Exception as error:
            # By the loop's task factory. The thread would wait for ever.
            job.set_exception(error)
            return
        task.add_done_callback(partial(_settle, job))

    def _refuse_threads(self) -> None:
        for job in tuple(self._of_threads):
            msg = f"{self!r} has ended, and with it what this thread waited for."
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                job.set_exception(NotInBridge(msg))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        # In an empty context: it is nobody's task, and in nobody's transaction.
        task = self.loop.create_task(coroutine, context=contextvars.Context())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _settle(job: concurrent.futures.Future[Any], task: asyncio.Task[Any]) -> None:
    """
    Give a thread what came of the task that worked for it.
    """
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        if error is None:
            job.set_result(task.result())
        else:
            job.set_exception(error)


async def _absorbing_cancellation(waiter: asyncio.Future[Any]) -> Any:
    while not waiter.done():
        try:
            await asyncio.shield(waiter)
        except asyncio.CancelledError:
            continue
    return waiter.result()


def _raise(error: BaseException) -> NoReturn:
    raise error


def _raise_cancelled(msg: Any) -> NoReturn:
    # With its message, by which anyio knows its own cancellations.
    if msg is None:
        raise asyncio.CancelledError
    raise asyncio.CancelledError(msg)


class ReadyWaiter:
    """
    A future for one task and one wait, which resumes the task at once.

    ``asyncio.Future`` schedules the task for the loop's next turn. The callback
    of a reader is no task and has nothing left to do, so it can run the task's
    step itself: that saves a turn of the loop and a call of the selector.

    It has what ``asyncio.Task`` asks of a future-like object: ``_loop``,
    ``_asyncio_future_blocking``, ``add_done_callback()``, ``cancel()``, and
    ``result()``, of which it only wants to know whether it raises.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_context",
        "_loop",
        "_ready",
        "_wakeup",
        "result",
    )

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._wakeup: Any = None
        # What it was woken with; None while waiting, -1 if cancelled.
        self._ready: int | None = None
        # Doesn't raise, and is no Python function: it's called with each wait.
        self.result: Callable[[], Any] = bool

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._ready is None:
            self._asyncio_future_blocking = True
            yield self
        return self._ready

    def add_done_callback(self, wakeup: Any, *, context: Any) -> None:
        self._wakeup, self._context = wakeup, context
        if self._ready is not None:
            self._loop.call_soon(wakeup, self, context=context)

    def done(self) -> bool:
        return self._ready is not None

    def cancel(self, msg: Any = None) -> bool:
        if self._ready is not None:
            return False
        self.result = partial(_raise_cancelled, msg)
        self.set_result(-1)
        return True

    def set_exception(self, error: BaseException) -> None:
        self.result = partial(_raise, error)
        self.set_result(-1)

    def set_result(self, ready: int) -> None:
        self._ready = ready
        if self._wakeup is not None:
            self._loop.call_soon(self._wakeup, self, context=self._context)

    def resume(self, ready: int) -> None:
        """
        Set the result and run the task's next step, now.
        """
        self._ready = ready
        if self._wakeup is not None:
            self._context.run(self._wakeup, self)


def _poll(fd: int) -> select.poll:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll


def _has_error(poll: select.poll) -> bool:
    return any(event & select.POLLERR for _, event in poll.poll(0))


class AsyncioFdWatch:
    """
    A reader that stays registered: adding and removing it at each wait would
    be two system calls, the larger part of the price of a wait.
    """

    __slots__ = ("_fd", "_hub", "_loop", "_poll", "_reading", "_waiter", "suspect")

    def __init__(self, hub: AsyncioHub, fd: int) -> None:
        self._hub = hub
        self._loop: Any = hub.loop
        self._fd = fd
        self._waiter: ReadyWaiter | asyncio.Future[int] | None = None
        self._reading = False
        self.suspect = False
        # libuv, on which uvloop is built, silently ends a registration whose
        # descriptor has an error, after reporting it once as readable: with
        # the last words of a server, mostly.
        self._poll = None if isinstance(hub.loop, asyncio.BaseEventLoop) else _poll(fd)

    def wait(
        self, events: int, *, timeout: float | None = None, shield: bool = False
    ) -> int:
        loop = self._loop
        waiter = self._waiter = loop.create_future() if shield else ReadyWaiter(loop)
        if events & READ:
            if not self._reading:
                loop.add_reader(self._fd, self._on_readable)
                self._reading = True
        else:
            self._stop_reading()
        if events & WRITE:
            loop.add_writer(self._fd, self._wake, WRITE)
        timer = None if timeout is None else loop.call_later(timeout, self._wake, 0)
        try:
            ready: int = suspend(self._hub.shielded(waiter) if shield else waiter)
            return ready
        finally:
            self._waiter = None
            if events & WRITE and not loop.is_closed():
                loop.remove_writer(self._fd)
            if timer is not None:
                timer.cancel()

    def _on_readable(self) -> None:
        waiter = self._waiter
        if self._poll is not None and _has_error(self._poll):
            self._stop_reading()
        if waiter is None:
            self.suspect = True
            self._stop_reading()
        elif self._poll is not None or type(waiter) is not ReadyWaiter:
            # libuv calls this with pointers to its own stack in its hands, and
            # to switch to a greenlet moves that stack away: not from here.
            self._wake(READ)
        elif waiter._ready is None:
            waiter.resume(READ)

    def _wake(self, ready: int) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(ready)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            if not self._loop.is_closed():
                self._loop.remove_reader(self._fd)

    def is_waiting(self) -> bool:
        return self._waiter is not None

    def close(self) -> None:
        self._stop_reading()
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(WatchClosed())
            if isinstance(waiter, asyncio.Future):
                # So that asyncio doesn't complain if nobody is told any more.
                waiter.exception()
