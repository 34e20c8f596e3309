"""
A thread that does the blocking calls of one connection, one after the other.

For drivers without a socket to wait for, as SQLite. The calls of a connection
stay in one thread and in order; the tasks that make them suspend meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from ._loops import Hub, Waiter, wake
from ._switch import check_may_switch, suspend

# Seconds that a cancelled call may take to stop. After them the connection is
# given up, together with its thread.
CANCEL_TIMEOUT = 5.0


# Seconds between two interruptions of it: at first, and at the most.
INSIST_FIRST, INSIST_LAST = 0.01, 0.5


class _Job:
    """
    One call: made by a task, executed by the thread.
    """

    __slots__ = (
        "error",
        "finished",
        "fn",
        "is_cancelled",
        "result",
        "waiter",
        "was_run",
    )

    def __init__(self, fn: Callable[[], Any], waiter: Waiter | None) -> None:
        self.fn = fn
        # Who is woken when it's finished; None if nobody waits for it.
        self.waiter = waiter
        self.result: Any = None
        self.error: BaseException | None = None
        # Nobody wants it any more.
        self.is_cancelled = self.was_run = False
        # Set on the loop's thread.
        self.finished = False


class _Insisting:
    """
    Interrupts a job again and again: an interruption is lost that comes when the job
    runs, but has not yet begun what can be interrupted.
    """

    def __init__(
        self,
        worker: Worker,
        job: _Job,
        interrupt: Callable[[], None],
        patience: float,
    ) -> None:
        self._worker, self._job, self._interrupt = worker, job, interrupt
        self._delay = INSIST_FIRST
        if patience:
            self._set_timer(patience)
        else:
            self._again()

    def _set_timer(self, delay: float) -> None:
        self.timer = self._worker.hub.call_later(delay, self._again)

    def _again(self) -> None:
        self._worker._stop(self._job, self._interrupt)
        self._set_timer(self._delay)
        self._delay = min(2 * self._delay, INSIST_LAST)


class Worker:
    """
    Owns the thread. All methods are called on the thread of the event loop.
    """

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub = hub
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # A call didn't stop in time: whether and when it ends is unknown.
        self.lost = False
        self.finished = False
        # The call that was cancelled last had not been begun.
        self.passed_over = False
        # What runs now; whoever looks at it in order to interrupt it has the lock.
        self._running: _Job | None = None
        self._lock = threading.Lock()
        # daemon: a lost call must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(
        self,
        fn: Callable[[], Any],
        interrupt: Callable[[], None],
        absorb: Callable[[BaseException], bool] | None = None,
        patience: float = 0.0,
    ) -> Any:
        """
        Return ``fn()``, run in the thread.

        Suspends: yes. On cancellation: calls ``interrupt()``, if ``fn`` has not
        ended in ``patience`` seconds, waits until it has, then raises
        ``CancelledError``; goes on instead if ``absorb(error)`` returns True.
        """
        job = _Job(fn, waiter := self.hub.new_waiter())
        check_may_switch()
        self._jobs.put(job)
        try:
            suspend(waiter)
        except GeneratorExit:
            self.lost = not job.finished
            self._stop(job, interrupt)
            raise
        except BaseException as error:
            absorbed = absorb is not None and absorb(error)
            if not job.finished:
                insisting = None
                if not absorbed:
                    self._pass_over(job)
                    insisting = _Insisting(self, job, interrupt, patience)
                self._wait_for_end(job, insisting)
            self.passed_over = job.finished and not job.was_run
            if not absorbed or not job.finished:
                raise
        return self._outcome(job)

    def _stop(self, job: _Job, interrupt: Callable[[], None]) -> None:
        """
        Interrupt a job that runs, and no other; let one that doesn't yet be passed
        over.
        """
        with self._lock:
            job.is_cancelled = True
            if self._running is job:
                interrupt()

    def _pass_over(self, job: _Job) -> None:
        with self._lock:
            job.is_cancelled = True

    @staticmethod
    def _outcome(job: _Job) -> Any:
        error = job.error
        if error is None:
            return job.result
        try:
            raise error
        finally:
            job.error = None
            del error

    def _wait_for_end(self, job: _Job, insisting: _Insisting | None) -> None:
        job.waiter = waiter = self.hub.new_waiter()
        timer = self.hub.call_later(CANCEL_TIMEOUT, partial(wake, waiter))
        try:
            suspend(self.hub.shielded(waiter))
        finally:
            timer.cancel()
            if insisting is not None:
                insisting.timer.cancel()
            self.lost = not job.finished

    def post(self, fn: Callable[[], Any]) -> None:
        """
        Run ``fn()`` in the thread, without waiting for it.
        """
        self._jobs.put(_Job(fn, None))

    def finish(self, fn: Callable[[], Any]) -> bool:
        """
        Run ``fn()`` as the last call, and end the thread; wait for neither.

        Returns False if that was asked for before.
        """
        if self.finished:
            return False
        self.finished = True
        self._jobs.put(_Job(fn, None))
        self._jobs.put(None)
        return True

    def join(self, timeout: float) -> None:
        """
        Wait, blocking, until the thread has ended.
        """
        self._thread.join(timeout)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            with self._lock:
                self._running = None if job.is_cancelled else job
            if self._running is job:
                job.was_run = True
                self._do(job)
            if job.waiter is not None and not self.hub.is_closed():
                self.hub.call_threadsafe(self._deliver, job)
            # Don't keep a result alive while waiting for the next call.
            del job

    def _do(self, job: _Job) -> None:
        try:
            job.result = job.fn()
        except BaseException as error:
            job.error = error
        with self._lock:
            self._running = None

    @staticmethod
    def _deliver(job: _Job) -> None:
        job.finished = True
        if job.waiter is not None and not job.waiter.done():
            job.waiter.set_result(None)
