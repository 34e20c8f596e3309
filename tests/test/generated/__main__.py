"""
Makes up test modules, and runs them until one differs from its sync twin.

``python -m tests.test.generated FILE EXAMPLES`` writes to the file, as JSON, what was
found, and how much was tried.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

import django
from django.conf import settings as project

# Seconds for one module; and to find a smaller one, when one has failed.
DEADLINE, SHRINK_TIMEOUT = 40, 20


def configure():
    # Fewer tables: each test of some classes flushes them.
    project.INSTALLED_APPS = [
        "django_evergreen",
        "django.contrib.contenttypes",
        "tests.app",
    ]
    project.MIDDLEWARE = []
    database = project.DATABASES["default"]
    if "sqlite" in database["ENGINE"]:
        # A transaction that reads and then writes can't fail by another one.
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA synchronous = OFF",
        }
    django.setup()


class Watchdog:
    """
    Ends the process with a report when a module hangs.
    """

    def __init__(self):
        self.program = None
        self._may_rest = threading.Event()

    def __enter__(self):
        self._may_rest.clear()
        threading.Thread(target=self._watch, daemon=True, name="watchdog").start()

    def _watch(self):
        if not self._may_rest.wait(DEADLINE):
            print(f"It hangs:\n{self.program}", flush=True)
            faulthandler.dump_traceback(sys.stdout)
            sys.stdout.flush()
            os._exit(1)

    def __exit__(self, *args):
        self._may_rest.set()


class Search:
    """
    Tries programs. The last failure that it finds is the smallest.
    """

    def __init__(self):
        self.problems = []
        self.program = None
        self.tried = 0
        # Steps that were taken, and statuses of tests.
        self.seen = Counter()
        self._give_up_at = None
        self._watchdog = Watchdog()

    def check(self, program):
        from .checks import problems_of

        if self._give_up_at is not None and time.monotonic() > self._give_up_at:
            return
        self._watchdog.program = program
        with self._watchdog:
            try:
                problems = problems_of(program, self.seen)
            except Exception:
                problems = [traceback.format_exc()]
        self.tried += 1
        if problems:
            self.problems, self.program = problems, program
            self._give_up_at = self._give_up_at or time.monotonic() + SHRINK_TIMEOUT
            raise AssertionError

    def run(self, examples):
        from hypothesis import HealthCheck, Phase, given, settings

        from .strategies import modules

        decide = settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        try:
            decide(given(modules())(self.check))()
        except Exception:
            if not self.problems:
                raise


def main():
    file, examples = sys.argv[1:]
    configure()
    from .checks import Runner

    runner = Runner(verbosity=0, interactive=False)
    databases = runner.setup_databases(aliases={"default"})
    search = Search()
    began = time.monotonic()
    try:
        search.run(int(examples))
    finally:
        runner.teardown_databases(databases)
    found = {
        "tried": search.tried,
        "seconds": time.monotonic() - began,
        "seen": search.seen,
        "problems": search.problems,
        "program": repr(search.program),
    }
    Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
