"""
What all parts of a run share.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from ._book import Book
from ._report import Report


@dataclass
class World:
    """
    One run, on one database.
    """

    seed: int
    seconds: float
    # The names of programs and interruptions to choose from; empty: all.
    only: frozenset[str] = frozenset()
    # Kill no sessions and servers, close no pools.
    is_calm: bool = False
    # None: SQLite.
    server: Any = None
    # The primary keys.
    accounts: list[int] = field(default_factory=list)
    book: Book = field(default_factory=Book)
    report: Report = field(default_factory=Report)
    # Tasks of programs, also of those that have ended.
    tasks: set[asyncio.Task] = field(default_factory=set)
    # When a connection was last killed; the server forgets its locks then.
    killed_at: float = 0.0
    # How many kills are being made: which sessions they hit is not known yet.
    kills: int = 0

    def __post_init__(self):
        self._ends_at = time.monotonic() + self.seconds

    @property
    def is_postgresql(self):
        return self.server is not None

    @property
    def is_over(self):
        return self.remaining <= 0

    @property
    def remaining(self):
        return self._ends_at - time.monotonic()

    @contextlib.contextmanager
    def killing(self, what):
        """
        Count something that may end sessions.
        """
        self.kills += 1
        try:
            yield
        finally:
            self.kills -= 1
            self.killed_at = time.monotonic()
            self.report.event(what)

    def was_killed_since(self, moment):
        return self.kills > 0 or self.killed_at >= moment

    def remember(self, task):
        self.tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task):
        self.tasks.discard(task)
        if not task.cancelled():
            # It's in the report already.
            task.exception()
