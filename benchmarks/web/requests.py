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

from . import targets
from .database import running_server
from .project import WAYS


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
    paths = {"wsgi": "/one/", "asgi": "/aone/", "evergreen": "/aone/"}
    found = {worker.way: [] for worker in workers}
    for number in range(-1, rounds):
        if sys.stderr.isatty():
            print(f"\rround {number + 1} of {rounds}\r", end="", file=sys.stderr)
        for worker in workers[number % 3 :] + workers[: number % 3]:
            cost = worker.measure(paths[worker.way], times)
            if number >= 0:
                found[worker.way].append(cost)
    return found


def main(rounds, times, uvloop):
    with running_server() as (_, database):
        workers = [Worker(way, database, uvloop) for way in WAYS]
        try:
            found = measure(workers, rounds, times)
        finally:
            for worker in workers:
                worker.close()
    report(found)
    return {"cpu_us": found}


def report(found):
    print("\nCPU per request: default middleware, session, user and one query")
    for way, title in WAYS.items():
        print(f"  {title:20} {statistics.median(found[way]):7.0f} us")
    targets.report("cpu_to_wsgi", found["evergreen"], found["wsgi"])
    targets.report("cpu_to_asgi", found["evergreen"], found["asgi"])
