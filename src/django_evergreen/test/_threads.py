"""
The threads of a test: what they are at, how they are stopped, how they are left behind.

A thread can't be cancelled, but its statement can. What one that goes on all the same
has open in the database is taken from it, so that nobody has to wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import Any

from ..bridge import run_sync
from ._clock import now
from ._executors import Job
from ._ledger import close_for_other_thread
from ._leftovers import Leftover, of_job, of_plain_thread, plain_threads_of
from ._owners import Owner, connections_of, leave_thread
from ._sites import frames_of_thread, is_at_database

logger = logging.getLogger("django_evergreen.test")

# Seconds between two looks at what tells nobody when it ends: first, at most.
LOOK_FIRST, LOOK_LAST = 0.0005, 0.05

# A call in a thread of the engine, or a thread of the user's own.
Work = Job | threading.Thread


class Threads:
    """
    What one owner has in threads.
    """

    def __init__(self, engine: Any, owner: Owner) -> None:
        self._engine = engine
        self._owner = owner

    def jobs(self) -> list[Job]:
        engine, owner = self._engine, self._owner
        return [
            *engine.in_threads.unfinished_of(owner),
            *engine.in_one_thread.unfinished_of(owner),
        ]

    def plain(self) -> list[threading.Thread]:
        return plain_threads_of(self._owner)

    def at_work(self, allowed: set[Any]) -> list[Work]:
        """
        Return what goes on now, without what is allowed to.
        """
        works: list[Work] = [*self.jobs(), *self.plain()]
        return [work for work in works if work not in allowed]

    def describe(self, allowed: set[Any]) -> dict[Work, Leftover]:
        return {
            work: of_job(work) if isinstance(work, Job) else of_plain_thread(work)
            for work in self.at_work(allowed)
        }

    def break_off_statements(self, allowed: set[Any]) -> None:
        """
        Cancel what threads execute by connections of their own. Suspends: no.
        """
        for wrapper, thread in self._connections(allowed):
            if _is_at_database(thread):
                name = "django-evergreen cancel"
                args = (wrapper.connection,)
                threading.Thread(
                    target=_break_off, args=args, name=name, daemon=True
                ).start()

    async def wait_for(self, works: list[Work], deadline: float) -> None:
        delay = LOOK_FIRST
        while not all(map(has_ended, works)) and (left := deadline - now()) > 0:
            await asyncio.sleep(min(left, delay))
            delay = min(2 * delay, LOOK_LAST)

    def leave(self, work: Work) -> str:
        """
        Go on without a thread, and return what became of it. It gets no connection
        any more.
        """
        if isinstance(work, Job):
            work.executor.abandon(work)
            if work.future.cancelled():
                return "was cancelled before it began"
        elif self._owner.outer is not None:
            # It's not the class's.
            self._owner.outer.threads_before.add(work)
        thread = work.thread if isinstance(work, Job) else work
        assert thread is not None
        leave_thread(thread, self._owner)
        return "could not be stopped"

    async def take_connections(self, allowed: set[Any]) -> None:
        """
        Close the connections that threads have opened for themselves, as nobody else
        does, and the database could be neither flushed nor dropped.
        """
        for wrapper, thread in self._connections(allowed):
            if _is_at_database(thread):
                logger.warning("%r can't be kept from the database.", thread)
                continue
            try:
                await run_sync(close_for_other_thread, wrapper)
            except Exception:
                logger.exception("The connection of %r could not be closed.", thread)
        self._owner.connections.clear()

    def _connections(self, allowed: set[Any]) -> list[tuple[Any, threading.Thread]]:
        kept = {getattr(work, "thread", work) for work in allowed}
        return [
            (wrapper, thread)
            for wrapper, thread in connections_of(self._owner, self.plain())
            if wrapper.connection is not None and thread not in kept
        ]


def has_ended(work: Work) -> bool:
    return work.future.done() if isinstance(work, Job) else not work.is_alive()


def _is_at_database(thread: threading.Thread) -> bool:
    return is_at_database(frames_of_thread(thread.ident))


def _break_off(connection: Any) -> None:
    """
    Cancel the statement of a driver's connection. Runs in: a thread of its own, as it
    may take a while.
    """
    with contextlib.suppress(Exception):
        if hasattr(connection, "interrupt"):
            connection.interrupt()  # sqlite3
        elif hasattr(connection, "cancel_safe"):
            connection.cancel_safe(timeout=2.0)  # psycopg
        elif hasattr(connection, "cancel"):
            connection.cancel()
