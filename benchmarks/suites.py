"""
Wall time of 1,000 trivial database tests: sync and async on stock Django, and async
ones on this package's test case.

Each suite runs in a process of its own, by `manage.py test` and the runner of its
stack; to make the database doesn't count. The suites take turns, and the least
disturbed run of each counts: trust the ratios.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import NamedTuple

from tests.postgresql_server import PostgreSQLServer

from .rounds import rotated


class Suite(NamedTuple):
    label: str
    stack: str
    module: str


class Time(NamedTuple):
    """
    Seconds.
    """

    wall: float
    cpu: float


SYNC = Suite("sync tests, stock", "stock", "sync")
FLOOR = Suite("sync tests and the loop", "stock", "floor")
STOCK = Suite("async tests, stock", "stock", "stock")
EVERGREEN = Suite("async tests, evergreen", "evergreen", "evergreen")
SUITES = [SYNC, FLOOR, STOCK, EVERGREEN]

# Seconds for one process. None may hang.
DEADLINE = 120
# What the ratios should be at most.
AIM_TO_SYNC, AIM_TO_STOCK = 1.15, 0.6


def main(rounds):
    server = PostgreSQLServer()
    server.start()
    databases = {
        "sqlite": {},
        "postgresql": {
            "BENCHMARK_HOST": server.host,
            "BENCHMARK_PORT": str(server.port),
        },
    }
    head = f"1,000 tests: the best of {rounds} runs"
    print(f"{head:36}{'s':>7}{'CPU s':>7}{'to sync':>9}{'aim':>6}", end="")
    print(f"{'to stock':>10}{'aim':>6}", flush=True)
    try:
        for database, variables in databases.items():
            report(database, measure(database, variables, rounds))
    finally:
        server.stop()
    run_overhead()


def measure(database, variables, rounds):
    """
    Return the times of each suite, one for each round.
    """
    times = {suite: [] for suite in SUITES}
    for number in range(rounds):
        for suite in rotated(SUITES, number):
            times[suite].append(run(suite, database, variables))
        if sys.stderr.isatty():
            print(f"\r{database}: {number + 1} of {rounds}\r", end="", file=sys.stderr)
    return times


def run(suite, database, variables):
    """
    Return the time in which the runner ran the tests of a suite.
    """
    label = f"benchmarks.trivial.{suite.module}"
    command = (sys.executable, "-m", "django", "test", "--noinput", label)
    done = subprocess.run(
        command,
        env=environment(suite.stack, database) | variables,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    found = re.search(r"^Timed: (\S+) s, (\S+) s of CPU$", done.stderr, re.MULTILINE)
    if done.returncode or "Ran 1000 tests" not in done.stderr or not found:
        sys.exit(f"{suite.label}, {database}: it failed.\n{done.stderr}")
    return Time(float(found[1]), float(found[2]))


def environment(stack, database):
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "benchmarks.trivial.settings",
        "BENCHMARK_STACK": stack,
        "BENCHMARK_DATABASE": database,
    }


def report(database, times):
    best = {suite: min(time.wall for time in times[suite]) for suite in SUITES}
    for suite in SUITES:
        cpu = min(time.cpu for time in times[suite])
        line = f"{database + ', ' + suite.label:36}{best[suite]:7.2f}{cpu:7.2f}"
        line += f"{best[suite] / best[SYNC]:9.2f}"
        if suite is EVERGREEN:
            line += f"{AIM_TO_SYNC:6.2f}{best[suite] / best[STOCK]:10.2f}"
            line += f"{AIM_TO_STOCK:6.2f}"
        print(line, flush=True)


def run_overhead():
    """
    Run the other part, in a process that has the settings of the tests.
    """
    command = (sys.executable, "-m", "benchmarks.overhead")
    variables = environment("evergreen", "sqlite")
    print(flush=True)
    subprocess.run(command, env=variables, timeout=DEADLINE, check=True)
