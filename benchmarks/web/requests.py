"""
CPU time of one request, in process: WSGI, stock ASGI and this package.

Each way is a process of its own. They take turns, in short rounds, so that whatever
else the machine does disturbs them alike: trust the ratios.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

from ..rounds import rotated
from . import targets
from .database import running_server
from .project import DEFAULT, FLOOR, QUERIES

WSGI, WSGI_KEPT = f"wsgi-{DEFAULT}", "wsgi"
ASGI, ASGI_POOL = f"asgi-{DEFAULT}", "asgi"
EVERGREEN, LEAST = "evergreen", f"wsgi-{FLOOR}"
TITLES = {
    WSGI: "Django, WSGI",
    ASGI: "Django, ASGI",
    EVERGREEN: "django-evergreen",
    WSGI_KEPT: "Django, WSGI, CONN_MAX_AGE = None",
    ASGI_POOL: "Django, ASGI, a pool",
    LEAST: "WSGI, CONN_MAX_AGE = None, in a loop",
}


class Worker:
    def __init__(self, way, database, uvloop):
        self.way = way
        command = [sys.executable, "-m", "benchmarks.web.worker"]
        self.process = subprocess.Popen(
            [*command, way, *(["--uvloop"] if uvloop else [])],
            env={**os.environ, "DATABASE": json.dumps(database)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self, path, times):
        """
        Return the CPU microseconds of one request.
        """
        self.process.stdin.write(f"{path} {times}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            msg = f"The process of {self.way!r} has ended."
            raise SystemExit(msg)
        return float(line) / times * 1e6

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def measure(workers, rounds, times):
    found = {worker.way: [] for worker in workers}
    for number in range(-1, rounds):
        if sys.stderr.isatty():
            print(f"\rround {number + 1} of {rounds}\r", end="", file=sys.stderr)
        for worker in rotated(workers, number):
            path = "/one/" if worker.way.startswith("wsgi") else "/aone/"
            cost = worker.measure(path, times)
            if number >= 0:
                found[worker.way].append(cost)
    return found


def main(rounds, times, uvloop):
    with running_server() as (_, database):
        workers = [Worker(way, database, uvloop) for way in TITLES]
        try:
            found = measure(workers, rounds, times)
        finally:
            for worker in workers:
                worker.close()
    report(found)
    return {"cpu_us": found}


def report(found):
    print("\nCPU per request: default middleware, session, user and one query")
    for way, title in TITLES.items():
        print(f"  {title:38} {statistics.median(found[way]):7.0f} us")
    print("With Django's default settings, which are to connect for each request:")
    targets.report("cpu_to_wsgi", found[EVERGREEN], found[WSGI])
    targets.report("cpu_to_asgi", found[EVERGREEN], found[ASGI])
    print("With connections that are kept:")
    targets.report("cpu_to_wsgi", found[EVERGREEN], found[WSGI_KEPT])
    targets.report("cpu_to_asgi", found[EVERGREEN], found[ASGI_POOL])
    ratios = [a / b for a, b in zip(found[LEAST], found[WSGI_KEPT], strict=True)]
    print(
        f"   WSGI in a task, with {QUERIES} waits of the loop / WSGI: "
        f"{statistics.median(ratios):.3g}"
    )
