"""
Makes up test modules, and runs them until one differs from its sync twin.

``python -m tests.test.generated FILE 200`` tries 200, and writes to the file, as JSON,
what was found and how much was tried; the program in it can be given, in a file, in
place of the number. They are the same 200 each time, unless a number follows, the seed
for others.
"""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from pprint import pformat

import django
from django.conf import settings as project

# Seconds for one module; and to find a smaller one, when one has failed.
DEADLINE, SHRINK_TIMEOUT = 60, 30


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
        database["OPTIONS"] = {
            # Who reads and then writes can't be refused because of others.
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA synchronous = OFF",
        }
    django.setup()


class Watchdog:
    """
    Ends the process with a report when a module hangs.
    """

    def __init__(self, program):
        self._program = program
        self._is_done = threading.Event()

    def __enter__(self):
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        if not self._is_done.wait(DEADLINE):
            print(f"It hangs:\n{pformat(self._program)}", flush=True)
            faulthandler.dump_traceback(sys.stdout)
            sys.stdout.flush()
            os._exit(1)

    def __exit__(self, *args):
        self._is_done.set()


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

    def check(self, program):
        from .checks import problems_of

        if self._give_up_at is not None and time.monotonic() > self._give_up_at:
            return
        self.tried += 1
        with Watchdog(program):
            try:
                problems = problems_of(program, self.seen)
            except Exception:
                problems = [traceback.format_exc()]
        if problems:
            self.problems, self.program = problems, program
            self._give_up_at = self._give_up_at or time.monotonic() + SHRINK_TIMEOUT
            raise AssertionError

    def run(self, examples, number):
        from hypothesis import HealthCheck, Phase, given, seed, settings

        from .strategies import modules

        decide = settings(
            max_examples=examples,
            deadline=None,
            derandomize=number is None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        check = decide(given(modules())(self.check))
        try:
            (check if number is None else seed(number)(check))()
        except Exception:
            if not self.problems:
                raise

    def run_file(self, name):
        from . import programs

        self.check(eval(Path(name).read_text(), vars(programs)))


def main():
    file, what, *seeds = sys.argv[1:]
    configure()
    from .checks import Runner

    runner = Runner(verbosity=0, interactive=False)
    databases = runner.setup_databases(aliases={"default"})
    search, began = Search(), time.monotonic()
    try:
        if what.isdigit():
            search.run(int(what), int(seeds[0]) if seeds else None)
        else:
            search.run_file(what)
    finally:
        runner.teardown_databases(databases)
        shutil.rmtree(getattr(project, "DIRECTORY", ""), ignore_errors=True)
        found = {
            "tried": search.tried,
            "seconds": time.monotonic() - began,
            "seen": search.seen,
            "problems": search.problems,
            "program": pformat(search.program),
        }
        Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
