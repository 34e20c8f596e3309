"""
Threads that are known, and that can be left behind.

Python's own executors wait at exit for each thread, however long it takes. The
threads of these are daemons, and each knows which test it works for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

from ._clock import now
from ._owners import Owner, current_owner, started_at
from ._sharing import use_shared_wrappers
from ._sites import Site

# Seconds for all threads of an executor to end.
JOIN_TIMEOUT = 1.0


class Job:
    """
    One call in a thread.
    """

    def __init__(self, executor: DaemonExecutor, fn: Callable[[], Any]) -> None:
        self.executor = executor
        self.fn = fn
        self.future: Future[Any] = Future()
        self.owner: Owner | None = current_owner()
        self.started_at: Site | None = started_at(3)
        self.since = now()
        # While it runs.
        self.thread: threading.Thread | None = None
        self.is_abandoned = False

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        self.thread = threading.current_thread()
        try:
            use_shared_wrappers()
            result = self.fn()
        except BaseException as error:
            if self.is_abandoned:
                # Nobody is there any more to ask for the exception.
                self.future.set_result(None)
            else:
                self.future.set_exception(error)
            # Break a cycle.
            del self.fn
        else:
            self.future.set_result(result)


class DaemonExecutor(ThreadPoolExecutor):
    """
    Takes only the name of its base class, for which asyncio asks.
    """

    def __init__(self, max_workers: int, name: str) -> None:
        super().__init__(max_workers)
        self._limit = max_workers
        self._name = name
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished: dict[Job, None] = {}
        self.workers: set[threading.Thread] = set()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """
        Call ``fn`` in a thread. Returns a future. Suspends: no.
        """
        job = Job(self, partial(fn, *args, **kwargs))
        with self._lock:
            self._unfinished[job] = None
            self._start_worker()
        self._queue.put(job)
        return job.future

    def _start_worker(self) -> None:
        if len(self.workers) < min(self._limit, len(self._unfinished)):
            name = f"{self._name} {len(self.workers)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self.workers.add(thread)
            thread.start()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            job.run()
            with self._lock:
                self._unfinished.pop(job, None)
            if job.is_abandoned:
                return
            del job

    def unfinished_of(self, owner: Owner) -> Iterator[Job]:
        """
        Yield the jobs of an owner that are not done.
        """
        with self._lock:
            jobs = tuple(self._unfinished)
        for job in jobs:
            if job.owner is owner and not job.future.done():
                yield job

    def abandon(self, job: Job) -> None:
        """
        Go on without the thread of a job, which ends with it. One that has not begun
        never does.
        """
        job.future.cancel()
        with self._lock:
            job.is_abandoned = True
            self._unfinished.pop(job, None)
            if job.thread is not None:
                self.workers.discard(job.thread)
                if not self._queue.empty():
                    self._start_worker()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """
        Let each thread end when it has nothing left to do. Waits a moment for them, as
        their connections can be closed then.
        """
        with self._lock:
            workers = tuple(self.workers)
            self.workers.clear()
        for _ in workers:
            self._queue.put(None)
        deadline = now() + JOIN_TIMEOUT
        for worker in workers:
            worker.join(max(0.0, deadline - now()))
