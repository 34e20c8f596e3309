"""
The thread of a request, taken from a bounded number of them when it's first needed.

A request keeps its thread until its end, as its code may keep things in
``threading.local``, which must not be seen by another request meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

from ..bridge import offload
from ..conf import options
from ._errands import Errand
from ._scopes import current_scope

Job = Callable[[], None]


class Threads:
    """
    Daemon threads, which are started when they are needed, up to a limit.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        # How many wait for a job, less the jobs that wait for a thread.
        self._idle = 0

    def submit(self, job: Job) -> None:
        """
        Run a job in a thread, when one is free. Suspends: no.
        """
        with self._lock:
            self._idle -= 1
            if self._idle < 0 and self._count < options().threads:
                self._start()
        self._jobs.put(job)

    def _start(self) -> None:
        name = f"{self._name} {self._count}"
        threading.Thread(target=self._work, name=name, daemon=True).start()
        self._count += 1
        self._idle += 1

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            job()
            del job
            with self._lock:
                self._idle += 1


_threads = Threads("request thread")


def _forget_parent() -> None:
    """
    Start anew in a child process, which has none of its parent's threads.
    """
    global _threads  # noqa: PLW0603
    _threads = Threads("request thread")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


class _Entry(NamedTuple):
    """
    What a thread is to do, and on which errand; or, without a job, to look whether what
    it waits for has come.
    """

    job: Job | None = None
    errand: Errand | None = None


class RequestThread:
    """
    Runs the sync code of a request that may block, one call at a time. While a call
    waits for the task, others run only if they may be what it waits for.
    """

    __slots__ = ("_inbox", "_postponed", "is_over", "is_used")

    def __init__(self) -> None:
        self.is_used = False
        # The request has ended.
        self.is_over = False
        self._inbox: SimpleQueue[_Entry | None]
        # What has come while another call waited.
        self._postponed: deque[_Entry]

    def perform(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """
        Return ``fn(...)``, run in this thread; in another one, when the request has
        ended. See :meth:`Errand.perform`.
        """
        if self.is_over:
            # Of a task that has outlived the request, whose thread others have.
            return offload(fn, *args, **kwargs)
        return Errand(self, current_scope).perform(partial(fn, *args, **kwargs))

    def submit(self, errand: Errand, job: Job) -> None:
        if not self.is_used:
            self.is_used = True
            self._inbox, self._postponed = SimpleQueue(), deque()
            _threads.submit(self._work)
        self._inbox.put(_Entry(job, errand))

    def submit_nothing(self) -> None:
        self._inbox.put(_Entry())

    def release(self) -> None:
        """
        Let others have the thread, when it has done what it was given.
        """
        self.is_over = True
        if self.is_used:
            self._inbox.put(None)

    def _work(self) -> None:
        while (entry := self._next()) is not None:
            if entry.job is not None:
                entry.job()
            del entry

    def _next(self) -> _Entry | None:
        return self._postponed.popleft() if self._postponed else self._inbox.get()

    def work_until(self, errand: Errand, is_done: Callable[[], bool]) -> None:
        """
        Do what may be what an errand waits for, until that is done.
        """
        is_released = False
        while not is_done():
            entry = self._next_inside(errand)
            if entry is None:
                is_released = True
            elif entry.job is not None:
                entry.job()
            del entry
        if is_released:
            # For who has called this.
            self._inbox.put(None)

    def _next_inside(self, errand: Errand) -> _Entry | None:
        for entry in self._postponed:
            if _may_run_inside(entry, errand):
                self._postponed.remove(entry)
                return entry
        while (new := self._inbox.get()) is not None:
            if _may_run_inside(new, errand):
                return new
            self._postponed.append(new)
        return None


def _may_run_inside(entry: _Entry, errand: Errand) -> bool:
    return entry.errand is None or entry.errand.is_inside(errand)
