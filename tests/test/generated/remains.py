"""
What is still there after tests: rows, tasks, threads, connections.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import Context

import psutil
from django.db import connection

from django_evergreen.bridge._loops import current_hub
from django_evergreen.db._pools import pools_of
from django_evergreen.test._engine import Engine
from tests.app.models import Author, Tag

from . import leftovers

# Seconds in which what was closed, and may take a moment, has to be gone.
PATIENCE = 5


class Remains:
    """
    What remains of one module: not what was there before.
    """

    def __init__(self):
        self._threads = set(threading.enumerate())
        self._sessions = set(sessions())
        connection.close()

    def find(self):
        """
        Return it, as lines of text.
        """
        try:
            return [
                *self._of_threads(),
                *of_rows(),
                *of_engines(),
                *self._of_sessions(),
            ]
        finally:
            connection.close()
            leftovers.kept.clear()
            leftovers.late.clear()

    def _of_threads(self):
        """
        Let threads that could not be stopped end, which may write no more.
        """
        leftovers.may_end.set()
        found = until_nothing(self._find_threads)
        if "written" in leftovers.late:
            found.append("A thread has written after the end of its test.")
        return found

    def _find_threads(self):
        known = set().union(*map(workers_of, Engine.alive))
        threads = set(threading.enumerate()) - self._threads - known
        return [f"{thread} still runs." for thread in threads]

    def _of_sessions(self):
        found = until_nothing(lambda: set(sessions()) - self._sessions)
        return [f"{session} is still open." for session in found]


def until_nothing(find):
    """
    Return what is found: nothing, perhaps after a while.
    """
    deadline = time.monotonic() + PATIENCE
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return found


def workers_of(engine):
    return engine.in_threads.workers | engine.in_one_thread.workers


def of_rows():
    found = []
    for model in (Author, Tag):
        count, _ = model.objects.all().delete()
        if count:
            found.append(f"{model.__name__} has {count} rows.")
    return found


def of_engines():
    found = []
    for engine in Engine.alive:
        tasks = asyncio.all_tasks(engine.loop) - {engine.task}
        found += [f"{task} is still there." for task in tasks]
        found += engine.run(of_pools, Context())
    if len(Engine.alive) > 1:
        found.append(f"Only the engine of the session should be left: {Engine.alive}")
    return found


def of_pools():
    return [
        f"{pool} should be empty."
        for pool in pools_of(current_hub()).values()
        if pool.statistics().size or pool.statistics().waiting
    ]


def sessions():
    """
    Return what the server, or the operating system, knows of open connections.
    """
    return SESSIONS[connection.vendor]()


def sessions_of_server():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, backend_start::text FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return cursor.fetchall()


def open_files():
    connection.close()
    name = str(connection.settings_dict["NAME"])
    files = psutil.Process().open_files()
    return [(f.path, f.fd) for f in files if f.path.startswith(name)]


SESSIONS = {"postgresql": sessions_of_server, "sqlite": open_files}
