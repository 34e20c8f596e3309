"""
Runs a program by both kinds of classes, and tells what differs and what is left over.
"""

from __future__ import annotations

import asyncio
import io
import threading
import time
import unittest
from contextvars import Context

import psutil
from django.db import connection
from django.test.runner import DiscoverRunner, reorder_tests

from django_evergreen.bridge._loops import current_hub
from django_evergreen.db._pools import pools_of
from django_evergreen.test._engine import Engine
from tests.app.models import Author, Tag
from tests.test.child import Recorder

from . import leftovers
from .classes import make_class
from .lines import Run

# Seconds in which what was closed, and may take a moment, has to be gone.
PATIENCE = 10


class Runner(DiscoverRunner):
    """
    Runs tests in the database that is there already.
    """

    def get_resultclass(self):
        return type("Result", (Recorder, self.test_runner.resultclass), {})

    def get_test_runner_kwargs(self):
        return {**super().get_test_runner_kwargs(), "stream": io.StringIO()}

    def run_classes(self, classes):
        load = unittest.defaultTestLoader.loadTestsFromTestCase
        tests = [test for cls in classes for test in load(cls)]
        suite = self.test_suite(reorder_tests(tests, self.reorder_by))
        return self.run_suite(suite)


def run(program, is_twin):
    """
    Run the classes of a program. Returns what came of each test, and the run.
    """
    run = Run(is_twin)
    classes = [
        make_class(class_program, f"Class{number}", run)
        for number, class_program in enumerate(program)
    ]
    result = Runner(verbosity=0, interactive=False).run_classes(classes)
    return result.recorded, run


def problems_of(program, seen):
    """
    Return what is wrong with a program's runs, as lines of text. Count in ``seen`` the
    steps and the statuses of its async tests.
    """
    leftovers.may_end.clear()
    recorded, run_of_async = run(program, is_twin=False)
    problems = left_over()
    expected, run_of_twin = run(program, is_twin=True)
    problems += differences(expected, recorded)
    if run_of_twin.trace != run_of_async.trace:
        problems.append(
            "What was seen differs.\n"
            f"  sync:  {run_of_twin.trace}\n  async: {run_of_async.trace}"
        )
    seen += run_of_async.taken
    for entry in recorded.values():
        seen.update(entry["statuses"])
    return problems


def outcome(entry):
    return entry["statuses"], [error["type"] for error in entry["errors"]]


NOTHING = {"statuses": [], "errors": []}


def differences(expected, recorded):
    """
    Yield the tests with other outcomes than those of the sync twin.
    """
    found = []
    for name in sorted({*expected, *recorded}):
        theirs, ours = expected.get(name, NOTHING), recorded.get(name, NOTHING)
        if outcome(theirs) != outcome(ours):
            text = "\n".join(error["text"] for error in ours["errors"])
            found.append(
                f"{name}: {outcome(theirs)} in the sync twin, {outcome(ours)} in the "
                f"async test.\n{text}"
            )
    return found


def left_over():
    """
    Return what is still there after the tests.
    """
    problems = of_threads() + of_rows() + of_engines() + of_sessions()
    leftovers.kept.clear()
    return problems


def of_threads():
    """
    Let threads that could not be stopped end, which may write no more.
    """
    leftovers.may_end.set()
    engines = {thread for e in Engine.alive for thread in workers_of(e)}
    problems = []
    deadline = time.monotonic() + PATIENCE
    for thread in set(threading.enumerate()) - engines - {threading.main_thread()}:
        if not thread.name.startswith(KNOWN):
            thread.join(deadline - time.monotonic())
            if thread.is_alive():
                problems.append(f"{thread} is left over.")
    if "written" in leftovers.late:
        problems.append("A thread has written after the end of its test.")
    leftovers.late.clear()
    return problems


# Of the watchdog.
KNOWN = ("watchdog",)


def workers_of(engine):
    return engine.in_threads.workers | engine.in_one_thread.workers


def of_rows():
    try:
        return [
            f"{model.__name__} has {count} rows."
            for model in (Author, Tag)
            if (count := model.objects.count())
        ]
    finally:
        connection.close()


def of_engines():
    problems = []
    for engine in Engine.alive:
        tasks = asyncio.all_tasks(engine.loop) - {engine.task}
        problems += [f"{task} is left over." for task in tasks]
        problems += engine.run(of_pools, Context())
    if len(Engine.alive) > 1:
        problems.append(f"{Engine.alive}: only that of the session should be left.")
    return problems


def of_pools():
    return [
        f"{pool} should be empty."
        for pool in pools_of(current_hub()).values()
        if pool.statistics().size or pool.statistics().waiting
    ]


def of_sessions():
    """
    Return what the operating system or the server knows of open connections.
    """
    deadline = time.monotonic() + PATIENCE
    look = SESSIONS[connection.vendor]
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    connection.close()
    return [f"There is still a connection: {session}" for session in found]


def sessions_of_server():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, state, query FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return cursor.fetchall()


def open_files():
    name = str(connection.settings_dict["NAME"])
    return [f for f in psutil.Process().open_files() if f.path.startswith(name)]


SESSIONS = {"postgresql": sessions_of_server, "sqlite": open_files}
