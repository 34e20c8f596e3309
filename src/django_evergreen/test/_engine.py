"""
The event loop of async tests, and the one task in which they run.

The loop runs only while a test or a hook of a class does, and rests in between. All
of it, Django's sync parts too, runs in the bridge in one task, so that a transaction
that was opened for a class is that of its tests.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from types import TracebackType
from typing import Any, ClassVar
from unittest.signals import _InterruptHandler  # type: ignore[attr-defined]

from asgiref.sync import SyncToAsync, ThreadSensitiveContext

from ..bridge import await_, in_bridge, run_sync
from ..bridge._loops import Hub, current_hub, running_loop
from ..db._admission import admissions
from ..db._pools import pools_of
from ..db._scopes import Scope, current_scope
from ..db._wrapper import ScopedWrapper
from ._clock import keep_time
from ._closing import close_loop
from ._deadline import Deadline
from ._driving import drive
from ._executors import DaemonExecutor
from ._owners import Owner, current_owner, owning, refuse_ended
from ._sharing import end_sharing, share_wrappers
from ._sites import first_of_user
from ._steps import Steps

# Tracebacks of failures begin below this module, as unittest's do.
__unittest = True

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

# Threads of `asyncio.to_thread()` and the like.
MAX_THREADS = 32


class _Job:
    """
    One call from outside of the loop.
    """

    def __init__(self, fn: Callable[[], Any], context: Context, done: Any) -> None:
        self.fn = fn
        self.context = context
        self.done = done
        self.result: Any = None
        self.error: BaseException | None = None


class Engine:
    """
    An event loop, its long-lived task, and its threads.
    """

    # Those that are not closed.
    alive: ClassVar[list[Engine]] = []

    def __init__(self, loop_factory: LoopFactory | None = None) -> None:
        # Whose is what was started in a context that knows no test.
        self.current: Owner | None = None
        self.loop = keep_time((loop_factory or asyncio.new_event_loop)())
        inner = self.loop.get_task_factory()
        self.loop.set_task_factory(owning(lambda: self.current, inner))
        self.loop.set_exception_handler(self._on_exception)
        self.in_threads = DaemonExecutor(MAX_THREADS, "async test thread")
        self.in_one_thread = DaemonExecutor(1, "async test main thread")
        self.loop.set_default_executor(self.in_threads)
        # Where asgiref looks for the thread of sync_to_async().
        self._sensitive = ThreadSensitiveContext()
        SyncToAsync.context_to_thread_executor[self._sensitive] = self.in_one_thread
        self._next: asyncio.Future[_Job] = self.loop.create_future()
        self.task = self.loop.create_task(
            self._serve(), context=Context(), name="async tests"
        )
        # What the bridge keeps for the loop. Known when the loop has run.
        self.hub = Hub(None)
        # What a cancellation may break off now.
        self._deadline: Deadline | None = None
        self.is_interrupted = False
        # Whoever runs the tests was told of it, and ends the run in order.
        self._run_stops = False
        if refuse_ended not in admissions:
            admissions.append(refuse_ended)
        ScopedWrapper.attaches_at_once = False
        if running_loop() is None:
            share_wrappers()
        self.alive.append(self)

    def __repr__(self) -> str:
        return f"<Engine on {self.loop!r}>"

    # From outside.

    def run(self, fn: Callable[[], Any], context: Context) -> Any:
        """
        Return ``fn()``, run in the bridge in the engine's task and a context.

        Raises what it raises; KeyboardInterrupt, when it's done, if Ctrl-C was
        pressed. Runs in: the thread that made the engine, or in the bridge.
        """
        if self.is_inside():
            return fn()
        job = _Job(fn, context, self.loop.create_future())
        context.run(SyncToAsync.thread_sensitive_context.set, self._sensitive)
        # The loop sets its own hooks for async generators when it starts to run.
        self.loop.call_soon(self._watch_generators, context=Context())
        self._next.set_result(job)
        with self._handling_interrupts():
            drive(self.loop, job.done, self._on_exception)
        if self.is_interrupted:
            self.is_interrupted = False
            if not self._run_stops or isinstance(job.error, asyncio.CancelledError):
                raise KeyboardInterrupt
        if job.error is None:
            return job.result
        try:
            raise job.error
        finally:
            job.error = None

    def is_inside(self) -> bool:
        """
        Return whether this is code that the engine runs, in the bridge.
        """
        return in_bridge() and running_loop() is self.loop

    async def _serve(self) -> None:
        self.hub = current_hub()
        while not self.loop.is_closed():
            try:
                job = await self._next
            except asyncio.CancelledError:
                # Too late for the one that it was meant for; or the end.
                if self not in self.alive:
                    raise
                self._next = self.loop.create_future()
                continue
            self._next = self.loop.create_future()
            try:
                job.result = await Steps(run_sync(job.fn), job.context)
            except BaseException as error:
                # Without this frame, which goes on: assertRaises() clears the frames
                # of the traceback, and would end it.
                job.error = error.with_traceback(_after_first(error.__traceback__))
            self.forget_cancellations()
            job.done.set_result(None)
            del job

    def forget_cancellations(self) -> None:
        """
        Let the task be as if it had never been cancelled.
        """
        while self.task.cancelling():
            self.task.uncancel()

    # Inside.

    def wait(
        self, coroutine: Coroutine[Any, Any, Any], deadline: Deadline | None = None
    ) -> Any:
        """
        Return the result of a coroutine of the user. Suspends: yes.

        Raises :exc:`TestTimeout` when ``deadline`` is over, also if the coroutine
        doesn't end when it's cancelled: it's left behind then.
        """
        return self.call(await_, Steps(coroutine), deadline=deadline)

    def call(
        self, fn: Callable[..., Any], *args: Any, deadline: Deadline | None = None
    ) -> Any:
        """
        Return ``fn(*args)``, code of the user, which may be broken off.
        """
        outer, self._deadline = self._deadline, deadline or Deadline(None)
        steps = next((arg for arg in args if type(arg) is Steps), None)
        self._deadline.begin(self.task, steps)
        try:
            with self._deadline:
                return fn(*args)
        except BaseException as error:
            raise error.with_traceback(first_of_user(error.__traceback__))  # noqa: B904
        finally:
            self._deadline = outer

    @property
    def scope(self) -> Scope:
        """
        The connections of the engine's task.
        """
        scope = current_scope()
        assert scope is not None
        return scope

    # Around the loop.

    @contextlib.contextmanager
    def _handling_interrupts(self) -> Iterator[None]:
        """
        Let Ctrl-C cancel what the user's code waits for, and the second one exit.
        """
        handler: Any = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not (
            handler is signal.default_int_handler
            or isinstance(handler, _InterruptHandler)
        ):
            yield
            return
        on_interrupt = functools.partial(self._on_interrupt, handler)
        signal.signal(signal.SIGINT, on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)

    def _on_interrupt(self, handler: Any, number: int, frame: Any) -> None:
        if self.is_interrupted or getattr(handler, "called", False):
            exit_at_once()
        self.is_interrupted = True
        self._run_stops = isinstance(handler, _InterruptHandler)
        if self._run_stops:
            # unittest's, which Django installs: it begins no other test. It asks
            # whether it's the one that is installed.
            mine = signal.signal(number, handler)
            handler(number, frame)
            signal.signal(number, mine)
        self.loop.call_soon_threadsafe(self._break_off)

    def _break_off(self) -> None:
        if self._deadline is not None:
            self._deadline.break_off("Ctrl-C was pressed.")

    def _watch_generators(self) -> None:
        of_loop = sys.get_asyncgen_hooks().firstiter

        def firstiter(generator: Any) -> None:
            owner = current_owner() or self.current
            if owner is not None:
                owner.note_generator(generator)
            if of_loop is not None:
                of_loop(generator)

        sys.set_asyncgen_hooks(firstiter=firstiter)

    def _on_exception(self, loop: Any, details: dict[str, Any]) -> None:
        owner = current_owner() or self.current
        if owner is None:
            loop.default_exception_handler(details)
        else:
            owner.messages.append(details)

    # End.

    def close(self) -> None:
        """
        End the loop with all that runs on it. Suspends: no. Takes a few seconds at
        the most, whatever that does.
        """
        if self not in self.alive:
            return
        self.alive.remove(self)
        close_loop(self.loop, self.task)
        self.in_threads.shutdown()
        self.in_one_thread.shutdown()
        if not self.alive:
            admissions.remove(refuse_ended)
            ScopedWrapper.attaches_at_once = True
            end_sharing()


def _after_first(traceback: TracebackType | None) -> TracebackType | None:
    return traceback and traceback.tb_next


def close_idle_connections() -> None:
    """
    Close the connections of the running loop that nobody uses.
    """
    for pool in pools_of(current_hub()).values():
        pool.clear()


@atexit.register
def close_all() -> None:
    """
    Close the engines that no runner has closed.
    """
    for engine in tuple(Engine.alive):
        engine.close()


def exit_at_once() -> None:
    """
    End the process, without a clean-up that may be what hangs.
    """
    import os

    sys.stderr.write("\nInterrupted again: exiting at once.\n")
    sys.stderr.flush()
    os._exit(130)
