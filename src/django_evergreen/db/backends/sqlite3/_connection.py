"""
sqlite3's connection, with its calls made in a worker thread.

SQLite has no socket to wait for: a call reads files, or waits for another
writer's lock, and blocks meanwhile. A connection to a file that is opened in
the bridge has a thread of its own, which makes its calls one after the other.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from weakref import WeakSet

from django.db.backends.sqlite3.base import SQLiteCursorWrapper
from greenlet import getcurrent

from ....bridge._loops import Hub, current_hub, current_task
from ....bridge._switch import check_may_switch
from ....bridge._worker import Worker
from ..._errors import LeaseEnded

# Rows that are fetched together with the execution, and at each fetch: most
# results need one hop to the thread then.
READ_AHEAD = 100

# Seconds that a cancelled call in a transaction has to end by itself: SQLite rolls back
# the whole transaction when it interrupts a write.
PATIENCE = 0.05

# Seconds to wait for the thread when its loop ends. More than enough, as all it
# has to do is to close a file.
JOIN_TIMEOUT = 5.0


_isolation_level: Any = sqlite3.Connection.isolation_level


class WorkerConnection(sqlite3.Connection):
    """
    A connection whose blocking calls are made in a worker thread.
    """

    # Who has borrowed it from the pool; None while it's in no pool.
    lease: Any = None
    # A transaction was begun and is to be ended by commit() or rollback().
    expects_transaction = False
    # How many calls are being made, or wait for that.
    calls = 0

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        # Cursors with rows that were not fetched.
        self.half_read: WeakSet[WorkerCursor] = WeakSet()
        self._hub = current_hub()
        self._worker = Worker(self._hub, f"django-evergreen SQLite {database}")
        open_it = super().__init__
        try:
            # Opening can't be interrupted, and is short.
            self._worker.call(lambda: open_it(database, *args, **kwargs), lambda: None)
        except BaseException:
            # It may have been opened after the task was cancelled.
            self._worker.finish(self._close_if_open)
            raise

    def move_to(self, hub: Hub) -> None:
        """
        Wait on another loop from now on.
        """
        self._hub = self._worker.hub = hub

    def _close_if_open(self) -> None:
        with contextlib.suppress(sqlite3.ProgrammingError):
            super().close()

    def call(self, fn: Callable[[], Any]) -> Any:
        """
        Return ``fn()``, run in the thread. On cancellation: interrupts it.
        """
        try:
            check_may_switch()
        except GeneratorExit:
            # The COMMIT or ROLLBACK that is due can't be waited for any more.
            self._worker.lost = True
            raise
        self._check_open()
        lease = self.lease
        if (
            lease is not None
            and current_task() is not lease.task
            and not lease.admits(self)
        ):
            msg = (
                f"{self!r} was given back to its pool while the task waited for "
                "something else, and can't be used by this cursor any more. Keep it: "
                "open the cursor by `with connection.cursor() as cursor:`."
            )
            raise LeaseEnded(msg)
        if self._hub.blocks and not self.calls:
            return self._do(fn)
        finishing = getcurrent().finishing  # type: ignore[attr-defined]
        absorb = None if finishing is None else finishing.absorb
        patience = PATIENCE if self.in_transaction else 0.0
        self.calls += 1
        try:
            do = partial(self._do, fn)
            return self._worker.call(do, self.interrupt, absorb, patience)
        except Exception:
            raise
        except BaseException as error:
            if lease is not None and not self._worker.passed_over:
                lease.interrupted(self, error)
            if absorb is not None:
                # Whether the block was committed is not known.
                self._worker.lost = True
            raise
        finally:
            self.calls -= 1

    def _check_open(self) -> None:
        if self.is_broken():
            msg = f"{self!r} was closed, perhaps by another task."
            raise sqlite3.OperationalError(msg)

    def _do(self, fn: Callable[[], Any]) -> Any:
        """
        Call ``fn()``, in the thread, unless the transaction was lost.
        """
        if self.expects_transaction and not self.in_transaction:
            msg = (
                f"SQLite has rolled back the whole transaction of {self!r}, as it does "
                "when a statement of it was interrupted or failed badly. Nothing more "
                "is sent in it."
            )
            raise sqlite3.OperationalError(msg)
        return fn()

    def wait_until_quiet(self) -> None:
        """
        Wait until the thread has made the calls of other tasks.
        """
        if not self.is_broken():
            self._worker.call(lambda: None, lambda: None)

    def begin(self, begin: Callable[[], None]) -> None:
        """
        Begin, by calling that, a transaction which must not be lost unnoticed.
        """
        try:
            begin()
        except BaseException:
            if self.in_transaction:
                # It was cancelled just when it was done.
                self._worker.post(super().rollback)
            raise
        self.expects_transaction = True

    def is_broken(self) -> bool:
        """
        Return whether it's closed, or a cancelled call did not end.
        """
        return self._worker.lost or self._worker.finished

    def cursor(self, factory: Any = None) -> Any:
        self._check_open()
        return super().cursor(factory or WorkerCursor)  # type: ignore[arg-type]

    def execute(self, *args: Any) -> Any:
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        return self.cursor().executemany(*args)

    def executescript(self, script: str) -> Any:
        run = super().executescript
        return self.call(lambda: run(script))

    @property
    def in_transaction(self) -> bool:
        # sqlite3's own raises if it's closed, in place of what closed it.
        return not self.is_broken() and super().in_transaction

    @property
    def isolation_level(self) -> Any:
        return super().isolation_level

    @isolation_level.setter
    def isolation_level(self, level: Any) -> None:
        self._check_open()
        set_level = _isolation_level.__set__
        if self.in_transaction:
            # Setting it to None commits, which Django does after a rollback too:
            # it must not happen if that rollback was refused or failed.
            self.call(lambda: set_level(self, level))
        else:
            set_level(self, level)

    def commit(self) -> None:
        commit = super().commit
        self.call(commit)
        self.expects_transaction = False

    def rollback(self) -> None:
        self.expects_transaction = False
        self.call(super().rollback)

    def close(self) -> None:
        """
        Close the file and end the thread. Suspends: no, it happens afterwards.
        """
        self._worker.finish(self._close)

    def _close(self) -> None:
        # SQLite keeps a closed file, its locks and its transaction while there is a
        # statement: an error's traceback may keep the cursor that has it.
        try:
            for cursor in tuple(self.half_read):
                SQLiteCursorWrapper.close(cursor)
            with contextlib.suppress(sqlite3.Error):
                super().rollback()
        finally:
            super().close()

    @staticmethod
    def forget_cursor(cursor: Any) -> None:
        """
        Close a cursor of a closed connection. Suspends: no.
        """
        cursor.close()

    def join(self) -> None:
        """
        Wait, blocking, until the thread has closed the file.
        """
        self._worker.join(JOIN_TIMEOUT)


class WorkerCursor(SQLiteCursorWrapper):
    """
    Django's cursor, executing and fetching in the thread of its connection.
    """

    connection: WorkerConnection

    def __init__(self, connection: WorkerConnection) -> None:
        super().__init__(connection)
        # Rows that were fetched ahead.
        self._rows: deque[Any] = deque()
        self._exhausted = True

    def execute(self, query: str, params: Any = None) -> Any:
        return self._start(super().execute, query, params)

    def executemany(self, query: str, param_list: Iterable[Any]) -> Any:
        # A generator may query the database: it's not for the thread.
        return self._start(super().executemany, query, list(param_list))

    def _start(self, execute: Callable[..., Any], *args: Any) -> Any:
        self._rows.clear()
        self._exhausted = True

        def execute_and_read() -> list[Any]:
            execute(*args)
            return self._read(READ_AHEAD) if self.description else []

        self._extend(self.connection.call(execute_and_read), READ_AHEAD)
        return self

    def _read(self, size: int) -> list[Any]:
        """
        Fetch, in the thread.
        """
        rows: list[Any] = super().fetchmany(size)
        if len(rows) == size:
            # Noted here, as a task that was cancelled doesn't get the rows.
            self.connection.half_read.add(self)
        return rows

    def _extend(self, rows: list[Any], wanted: int) -> None:
        self._rows.extend(rows)
        self._exhausted = len(rows) < wanted

    def _fetch(self, size: int) -> None:
        """
        Have ``size`` rows ready, or all there are.
        """
        missing = size - len(self._rows)
        if missing > 0 and not self._exhausted:
            wanted = max(missing, READ_AHEAD)
            self._extend(self.connection.call(lambda: self._read(wanted)), wanted)

    def fetchone(self) -> Any:
        self._fetch(1)
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        size = self.arraysize if size is None else size
        self._fetch(size)
        rows = self._rows
        return [rows.popleft() for _ in range(min(size, len(rows)))]

    def fetchall(self) -> list[Any]:
        rows = list(self._rows)
        self._rows.clear()
        if not self._exhausted:
            rows += self.connection.call(super().fetchall)
            self._exhausted = True
        return rows

    def __next__(self) -> Any:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def close(self) -> None:
        self._rows.clear()
        if self.connection.is_broken():
            # Closed, and the cursor with it.
            return
        if not self._exhausted:
            # A statement that is not at its end holds a lock on the file.
            self._exhausted = True
            self.connection.call(super().close)
        else:
            super().close()
