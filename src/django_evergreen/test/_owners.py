"""
Who has started what: each test, and each class, owns the work that it started.

An owner is noted in a contextvar, which tasks and threads inherit. When its test is
over, the owner is over too, and work of his that goes on gets no connection any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextvars import Context, ContextVar, copy_context
from typing import Any, NoReturn

from django.db import DatabaseError
from django.db.backends.signals import connection_created

from ..bridge._asyncio import AsyncioHub
from ..bridge._loops import running_loop
from ..db._transactions import Block, swap_blocks
from ._clock import now
from ._sites import Site, calling_site, is_users

_owner: ContextVar[Owner | None] = ContextVar("django_evergreen_test", default=None)


# The tasks that are started by a part of a test.
_collected: ContextVar[list[asyncio.Task[Any]] | None] = ContextVar(
    "django_evergreen_tasks", default=None
)


@contextlib.contextmanager
def collecting_tasks() -> Iterator[list[asyncio.Task[Any]]]:
    """
    Give a list to which each task is added that is started inside.
    """
    tasks: list[asyncio.Task[Any]] = []
    token = _collected.set(tasks)
    try:
        yield tasks
    finally:
        _collected.reset(token)


class WorkOfEndedTest(DatabaseError):
    """
    A query of a task or thread whose test is over. It was not sent.
    """

    __module__ = "django_evergreen.test"


class Owner:
    """
    A test or a class, and what it has started.
    """

    __slots__ = (
        "blocks",
        "closed_loudly",
        "connections",
        "failed",
        "generators",
        "is_over",
        "messages",
        "name",
        "outer",
        "tasks",
        "threads_before",
    )

    def __init__(self, name: str, outer: Owner | None = None) -> None:
        self.name = name
        # The class of a test.
        self.outer = outer
        self.is_over = False
        # Those of its transactions, for what knows no test.
        self.blocks: Mapping[str, Block] = {}
        # Its tasks that are not done, and when and where each was started.
        self.tasks: dict[asyncio.Task[Any], tuple[float, Site | None]] = {}
        # Tasks that ended by an exception, which nobody has retrieved yet.
        self.failed: dict[asyncio.Task[Any], Site | None] = {}
        # What the loop's exception handler was told.
        self.messages: list[dict[str, Any]] = []
        # Async generators that were begun: weak references, and where.
        self.generators: list[tuple[Any, Site | None]] = []
        # What warned that it was never awaited.
        self.closed_loudly: list[str] = []
        # Django's wrappers of connections that its threads have opened for themselves.
        self.connections: dict[Any, threading.Thread] = {}
        self.threads_before = set(threading.enumerate())

    def __repr__(self) -> str:
        return f"<Owner {self.name}{', over' * self.is_over}>"

    def started_nothing(self) -> bool:
        """
        Return whether it has nothing that may still run, and had no trouble.
        """
        return not (
            self.tasks
            or self.failed
            or self.messages
            or self.generators
            or self.closed_loudly
            or self.connections
            or not self.threads_before.issuperset(threading.enumerate())
        )

    def enter(self) -> None:
        """
        Own what the running code starts from now on.
        """
        _owner.set(self)

    def lend(self) -> None:
        """
        Own what the running code starts, and let it take part in the transactions.
        """
        _owner.set(self)
        swap_blocks(self.blocks)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self.tasks[task] = now(), started_at(3)
        collected = _collected.get()
        if collected is not None:
            collected.append(task)
        task.add_done_callback(self._ended)

    def note_generator(self, generator: Any) -> None:
        # Not the many of libraries, the ORM for one.
        if is_users(generator.ag_code.co_filename):
            self.generators.append((weakref.ref(generator), started_at(3)))

    def unended_tasks(self) -> list[asyncio.Task[Any]]:
        """
        Return its tasks that still run. They tell it a turn later that they don't.
        """
        for task in [task for task in self.tasks if task.done()]:
            self._ended(task)
        return list(self.tasks)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task not in self.tasks:
            return
        _, site = self.tasks.pop(task)
        # True if it has an exception that nobody has looked at: asyncio's own flag,
        # as to ask for the exception would be to look at it.
        if getattr(task, "_log_traceback", False):
            self.failed[task] = site


def started_at(depth: int = 2) -> Site | None:
    """
    Return the line of the user's code that starts something now.
    """
    site = calling_site(depth)
    owner = _owner.get()
    if owner is not None and (site is None or not is_users(site.filename)):
        # In a task that runs only code of others: where that was started.
        task = asyncio.current_task() if running_loop() is not None else None
        if task in owner.tasks:
            return owner.tasks[task][1]
    return site


def current_owner() -> Owner | None:
    """
    Return the owner of the running code, if it was started by a test.
    """
    return _owner.get()


def owner_in(context: Any) -> Owner | None:
    """
    Return the owner of code that runs in a context.
    """
    return None if context is None else context.get(_owner)


def owning(owner_of_others: Callable[[], Owner | None], inner: Any) -> Any:
    """
    Return a task factory that notes owners. ``inner`` is the loop's own, or None.

    Tasks in a context of their own, that knows no test, are of ``owner_of_others()``,
    and belong to its transaction.
    """

    def create_task(
        loop: Any,
        coroutine: Coroutine[Any, Any, Any],
        *,
        context: Context | None = None,
        **options: Any,
    ) -> Any:
        if context is None:
            context = copy_context()
        owner = context.get(_owner)
        if owner is None and not _is_of_hub():
            owner = owner_of_others()
            if owner is not None:
                context.run(owner.lend)
        if owner is not None and owner.is_over:
            refuse_task(owner, coroutine)
        if inner is None:
            task = asyncio.Task(coroutine, loop=loop, context=context, **options)
        else:
            task = inner(loop, coroutine, context=context, **options)
        if owner is not None and not task.done():
            owner.adopt(task)
        return task

    return create_task


def _is_of_hub() -> bool:
    """
    Return whether the bridge starts a task now that is nobody's.
    """
    # Called by the factory, called by the loop, whose method may be written in C.
    caller = sys._getframe(2)
    return _SPAWN in (caller.f_code, caller.f_back and caller.f_back.f_code)


_SPAWN = AsyncioHub.spawn.__code__


def refuse_task(owner: Owner, coroutine: Any) -> None:
    coroutine.close()
    msg = (
        f"The task for {coroutine.__qualname__}() was not started: {owner.name}, whose "
        "work starts it, is over. Wait inside the test for what it starts."
    )
    raise RuntimeError(msg)


# Threads that were left behind, which know no test perhaps.
_left_threads: weakref.WeakKeyDictionary[threading.Thread, Owner] = (
    weakref.WeakKeyDictionary()
)
# Connections of threads that know no test.
_strays: weakref.WeakKeyDictionary[Any, threading.Thread] = weakref.WeakKeyDictionary()


def leave_thread(thread: threading.Thread, owner: Owner) -> None:
    """
    Let a thread have no connection any more.
    """
    _left_threads[thread] = owner


def connections_of(
    owner: Owner, threads: Iterable[threading.Thread]
) -> list[tuple[Any, threading.Thread]]:
    """
    Return the connections that an owner's threads have opened for themselves, with
    those of ``threads``, which don't know whose they are.
    """
    strays = [item for item in tuple(_strays.items()) if item[1] in threads]
    return [*owner.connections.items(), *strays]


def refuse_ended(wrapper: Any = None) -> None:
    """
    Raise :exc:`WorkOfEndedTest` if the running code's test is over. Called with the
    wrapper where a connection is not a task's.
    """
    owner = _owner.get()
    if wrapper is not None:
        thread = threading.current_thread()
        left_by = _left_threads.get(thread) if _left_threads else None
        if left_by is not None:
            _refuse(left_by)
        if wrapper.connection is None:
            # It's about to connect.
            if owner is None:
                _strays[wrapper] = thread
            elif not owner.is_over:
                owner.connections[wrapper] = thread
    if owner is not None and owner.is_over:
        _refuse(owner)


def _refuse_late(sender: Any, connection: Any, **kwargs: Any) -> None:
    """
    Close what a thread has opened while its test ended.
    """
    if getattr(connection, "_scope", None) is not None:
        # A task's.
        return
    try:
        refuse_ended(connection)
    except WorkOfEndedTest:
        connection.close()
        raise


connection_created.connect(_refuse_late, dispatch_uid=__name__)


def _refuse(owner: Owner) -> NoReturn:
    msg = (
        f"{_who()} was started by {owner.name}, which is over. This statement was not "
        "sent. Wait inside the test for what it starts."
    )
    raise WorkOfEndedTest(msg)


def _who() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is not None:
        return f"The task {task.get_name()!r}"
    return f"The thread {threading.current_thread().name!r}"
