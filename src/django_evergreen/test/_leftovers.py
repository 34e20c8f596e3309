"""
What a test has started and not ended.
"""

from __future__ import annotations

import asyncio
import fnmatch
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..bridge._asyncio import AsyncioHub
from ..db._transactions import Block, _blocks
from ._clock import now
from ._executors import Job
from ._owners import Owner
from ._sites import (
    Site,
    frames_of_thread,
    innermost_site,
    is_users,
    statement_in,
    waiting_frames,
)

ADVICE = {
    "task": "Await it in the test, or cancel it and await it.",
    "thread": "Wait for it in the test: a thread can't be stopped.",
    "timer": "Call cancel() on what call_later() or call_at() has returned.",
    "reader": "Call remove_reader() or remove_writer() for its descriptor.",
    "async generator": (
        "Iterate it to its end, or close it: "
        "`async with contextlib.aclosing(generator):`."
    ),
    "coroutine": "Write `await` before the call.",
}


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """
    One thing that a test has left over: data, which can be pickled.
    """

    # A key of ADVICE.
    kind: str
    # What it's called; for a coroutine and a generator, its function.
    name: str
    # What runs in it.
    function: str = ""
    # The line of the user's code that started it, and the one where it waits.
    created_at: Site | None = None
    waits_at: Site | None = None
    # Seconds from its start to the end of the wait for it.
    age: float = 0.0
    # The statement it waits for, and the transaction it's in.
    sql: str = ""
    transaction: str = ""
    # What came of it: "was cancelled", "ignored its cancellation", ...
    outcome: str = ""

    @property
    def request(self) -> str:
        """
        The method and path of the request in which it was started, or that waits
        in it; or "".
        """
        sites = (self.created_at, self.waits_at)
        return next((site.request for site in sites if site and site.request), "")

    @property
    def fingerprint(self) -> str:
        """
        What stays the same when lines move: for baselines.
        """
        doer = self.created_at.doer if self.created_at else ""
        function = self.created_at.function if self.created_at else ""
        return f"{self.kind} {self.function or self.name} from {function} by {doer}"

    def matches(self, patterns: Sequence[str]) -> bool:
        """
        Return whether an allow-list has its name, its function, or the function
        that started it, as "module.function"; with ``*``.
        """
        created = self.created_at
        doer = created.doer if created else ""
        names = {self.name, self.function, doer, created.function if created else ""}
        return any(fnmatch.fnmatchcase(n, p) for n in names if n for p in patterns)


def of_task(task: asyncio.Task[Any], started: tuple[float, Site | None]) -> Leftover:
    since, site = started
    coroutine: Any = task.get_coro()
    frames = waiting_frames(coroutine)
    return Leftover(
        kind="task",
        name=name_of(task),
        function=getattr(coroutine, "__qualname__", repr(coroutine)),
        created_at=site,
        waits_at=innermost_site(frames),
        age=now() - since,
        sql=statement_in(frames),
        transaction=_transaction_of(task),
    )


def serves_thread(created_at: Site | None) -> bool:
    """
    Return whether a task only sends a statement for a thread.
    """
    return created_at is not None and created_at.doer == _OF_THREADS


_OF_THREADS = f"{AsyncioHub.__module__}.{AsyncioHub._start.__qualname__}"


def name_of(task: asyncio.Task[Any]) -> str:
    # Before 3.13.3, a task factory makes "None" the name of tasks without one.
    name = task.get_name()
    return "without a name" if name == "None" else name


def _transaction_of(task: asyncio.Task[Any]) -> str:
    get_context = getattr(task, "get_context", None)  # since Python 3.12
    if get_context is None:
        return ""
    blocks = get_context().get(_blocks) or {}
    return ", ".join(str(b) for b in blocks.values() if _is_own(b, task))


def _is_own(block: Block, task: asyncio.Task[Any]) -> bool:
    return block.is_open and block.task is task


def of_job(job: Job) -> Leftover:
    return _of_thread(job.thread, name_of_function(job.fn), job.started_at, job.since)


def _of_thread(
    thread: threading.Thread | None, function: str, site: Site | None, since: float
) -> Leftover:
    frames = frames_of_thread(thread.ident if thread else None)
    return Leftover(
        kind="thread",
        name=thread.name if thread else "a thread, not begun",
        function=function,
        created_at=site,
        waits_at=innermost_site(frames),
        age=now() - since if since else 0.0,
        sql=statement_in(frames),
    )


def of_plain_thread(thread: threading.Thread) -> Leftover:
    target = getattr(thread, "_target", None) or type(thread)
    return _of_thread(thread, name_of_function(target), None, 0.0)


def name_of_function(fn: Any) -> str:
    """
    Return what is called in the end: below partial(), and asgiref's wrapping.
    """
    while True:
        inner = getattr(fn, "func", None)
        bound = getattr(fn, "args", None) or ()
        last = bound[-1] if bound and callable(bound[-1]) else None
        if inner is None:
            return getattr(fn, "__qualname__", None) or type(fn).__qualname__
        fn = last or inner


def plain_threads_of(owner: Owner) -> list[threading.Thread]:
    """
    Return the threads that have appeared since the test began, without those of
    executors, whose jobs are known, and of this package.
    """
    return [
        thread
        for thread in threading.enumerate()
        if thread not in owner.threads_before and not _is_known(thread)
    ]


_KNOWN_NAMES = ("django-evergreen", "async test ", "asyncio_", "ThreadPoolExecutor-")


def _is_known(thread: threading.Thread) -> bool:
    return (
        thread.name.startswith(_KNOWN_NAMES) or type(thread).__name__ == "_DummyThread"
    )


def generators_of(owner: Owner) -> list[tuple[Any, Site | None]]:
    """
    Return the async generators of the user's code that were begun and not ended, and
    where they were begun.
    """
    alive = ((reference(), site) for reference, site in owner.generators)
    return [
        (generator, site)
        for generator, site in alive
        if generator is not None
        and generator.ag_frame is not None
        and not generator.ag_running
    ]


_ORIGIN = re.compile(r'File "(?P<file>.*)", line (?P<line>\d+), in (?P<function>.*)')


def of_coroutine(warning: str) -> Leftover:
    """
    Return what Python's warning tells about a coroutine that was never awaited.
    """
    name = warning.split("'")[1]
    sites = [
        Site(found["file"], int(found["line"]), found["function"])
        for found in _ORIGIN.finditer(warning)
    ]
    of_user = [site for site in sites if is_users(site.filename)] or sites
    return Leftover(
        kind="coroutine",
        name=name,
        created_at=of_user[-1] if of_user else None,
        outcome="was never awaited",
    )


def of_generator(generator: Any, begun_at: Site | None) -> Leftover:
    return Leftover(
        kind="async generator",
        name=generator.__qualname__,
        created_at=begun_at,
        waits_at=innermost_site([generator.ag_frame]),
    )
