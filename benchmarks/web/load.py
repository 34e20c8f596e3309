"""
Requests over real HTTP: WSGI, stock ASGI and this package, on one core.

The clients and the database are on another core. The servers take turns, in short
rounds, so that whatever else the machine does disturbs them alike: trust the ratios.
"""

from __future__ import annotations

import contextlib
import functools
import json
import statistics
import subprocess
import sys

from . import targets
from .database import running_server
from .generator import Burst, Closed, Constant, allow_connections, generate
from .in_flight import measure_in_flight, report_in_flight
from .project import WAYS
from .serving import serving, share_out_cores

CLIENTS = 64
# Of WSGI's capacity.
LOAD = 0.7
# Seconds before it counts.
WARM_UP = 0.5
# How many ask for the view of ten queries, one after another.
TEN = 50
# Of its core, what a server has that isn't disturbed.
FULL_SHARE = 0.85
# So much faster than the servers has to be what measures them.
ENOUGH = 5


class Case:
    """
    A view, and the way in which it's served.
    """

    def __init__(self, way, path, kind):
        self.way, self.path = way, path
        self.title = f"{WAYS[way]}, {kind}" if kind else WAYS[way]

    def __repr__(self):
        return self.title


WSGI = Case("wsgi", "/one/", "")
STOCK = Case("asgi", "/aone/", "async view")
OURS = Case("evergreen", "/one/", "sync view")
OURS_ASYNC = Case("evergreen", "/aone/", "async view")
STOCK_TEN = Case("asgi", "/ten/", "")
OURS_TEN = Case("evergreen", "/ten/", "")


def in_turn(cases, rounds, measure, what):
    """
    Return ``measure(case)`` of each case and round.
    """
    found = {case: [] for case in cases}
    for number in range(rounds):
        # Another order each round, as for the queries.
        turn = number % len(cases)
        for case in cases[turn:] + cases[:turn]:
            progress(f"{what}: round {number + 1} of {rounds}, {case}")
            found[case].append(measure(case))
    progress("")
    return found


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


class Ports:
    """
    Sends requests to the server of a case.
    """

    def __init__(self, servers, cookie):
        self._servers, self._cookie = servers, cookie

    def generate(self, kind, case, *args):
        server = self._servers[case.way]
        outcome = generate(kind, server.port, case.path, *args, cookie=self._cookie)
        if outcome.errors:
            msg = (
                f"{case}: {outcome.errors} errors. The first: {outcome.first_error}\n"
                f"The end of the server's log:\n{server.tail()}"
            )
            raise SystemExit(msg)
        return outcome

    def capacity(self, seconds, case):
        self.generate(Closed, case, CLIENTS, WARM_UP)
        server = self._servers[case.way]
        cpu = server.cpu_seconds()
        outcome = self.generate(Closed, case, CLIENTS, seconds)
        cpu = server.cpu_seconds() - cpu
        return {
            "per_second": outcome.per_second,
            # On a busy machine, what is left of the figure above.
            "cpu_us": cpu / len(outcome.latencies) * 1e6,
            # The share of the core that the server had.
            "share": cpu / outcome.seconds,
        }

    def latency(self, rate, seconds, case):
        self.generate(Constant, case, rate, WARM_UP)
        outcome = self.generate(Constant, case, rate, seconds)
        return {"p50": quantile(outcome, 0.5), "p99": quantile(outcome, 0.99)}

    def ten_queries(self, case):
        self.generate(Closed, case, 1, WARM_UP)
        latencies = [
            self.generate(Burst, case, 1).latencies[0] * 1e3 for _ in range(TEN)
        ]
        return statistics.median(latencies)


def quantile(outcome, share):
    """
    Return milliseconds.
    """
    ordered = sorted(outcome.latencies)
    return ordered[int(share * len(ordered))] * 1e3


def measure(database, core, rounds, seconds, uvloop):
    cookie = log_in(database)
    with contextlib.ExitStack() as stack:
        serve = functools.partial(serving, core=core, database=database, uvloop=uvloop)
        servers = {way: stack.enter_context(serve(way)) for way in WAYS}
        ports = Ports(servers, cookie)
        found = in_turn(
            [WSGI, STOCK, OURS, OURS_ASYNC],
            rounds,
            functools.partial(ports.capacity, seconds),
            f"{CLIENTS} clients",
        )
        report_capacity(found)
        rate = LOAD * median_of("per_second", found[WSGI])
        late = in_turn(
            [WSGI, OURS, OURS_ASYNC],
            rounds,
            functools.partial(ports.latency, rate, seconds),
            f"{rate:.0f} per second",
        )
        report_latency(late, rate)
        ten = in_turn([STOCK_TEN, OURS_TEN], rounds, ports.ten_queries, "ten queries")
        report_ten(ten)
    return {
        "requests_per_second": by_title(found),
        "latency_ms": {"rate": rate, **by_title(late)},
        "ten_queries_ms": by_title(ten),
    }


def by_title(found):
    return {case.title: values for case, values in found.items()}


def log_in(database):
    code = (
        "import sys, json; from benchmarks.web import project; "
        "project.configure('wsgi', json.loads(sys.argv[1])); print(project.log_in())"
    )
    command = [sys.executable, "-c", code, json.dumps(database)]
    done = subprocess.run(
        command, check=True, timeout=60, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def check_generator(core, rate):
    """
    Measure what measures, by a server that does nothing.
    """
    with serving("nothing", core) as server:
        fast = generate(Closed, server.port, "/", CLIENTS, WARM_UP).per_second
        outcome = generate(Constant, server.port, "/", rate, WARM_UP)
    print(
        f"The generator: {fast:.0f} requests per second; at {rate:.0f}, "
        f"p50 {quantile(outcome, 0.5):.2f} ms, p99 {quantile(outcome, 0.99):.2f} ms"
    )
    return fast


def median_of(name, rounds):
    return statistics.median(values[name] for values in rounds)


def report_capacity(found):
    print(f"\nRequests per second, {CLIENTS} clients, one core")
    for case, rounds in found.items():
        per_second, cpu_us, share = (
            median_of(name, rounds) for name in ("per_second", "cpu_us", "share")
        )
        print(
            f"  {case.title:30}{per_second:8.0f}, {cpu_us:5.0f} us of CPU each, "
            f"{share:.0%} of the core"
        )
    if any(median_of("share", rounds) < FULL_SHARE for rounds in found.values()):
        print("  Something else used the core: compare the CPU times instead.")
    report_target("requests_per_second", "per_second", found[OURS], found[WSGI])


def report_latency(found, rate):
    print(f"\nLatency at {rate:.0f} requests per second, {LOAD:.0%} of WSGI's capacity")
    for case, rounds in found.items():
        p50, p99 = (median_of(name, rounds) for name in ("p50", "p99"))
        print(f"  {case.title:30} p50 {p50:8.2f} ms   p99 {p99:8.2f} ms")
    report_target("p99", "p99", found[OURS], found[WSGI])


def report_target(target, name, ours, others):
    ours, others = ([values[name] for values in rounds] for rounds in (ours, others))
    targets.report(target, ours, others)


def report_ten(found):
    print("\nLatency of ten queries at once, 5 ms each on the server")
    for case, values in found.items():
        print(f"  {case.title:30}{statistics.median(values):8.2f} ms")
    targets.report("ten_queries", found[OURS_TEN], found[STOCK_TEN])


def main(rounds, seconds, uvloop, requests):
    """
    Return what was found, for JSON.
    """
    files = allow_connections()
    core = share_out_cores()
    if core is None:
        print("There is only one core: the clients take their share of it.")
    with running_server() as (server, database):
        found = measure(database, core, rounds, seconds, uvloop)
        fastest = max(
            median_of("per_second", values)
            for values in found["requests_per_second"].values()
        )
        if check_generator(core, found["latency_ms"]["rate"]) < ENOUGH * fastest:
            print("It's too slow for these servers: don't trust the figures.")
        found["in_flight"] = measure_in_flight(
            server, database, core, files, requests, uvloop
        )
        report_in_flight(found["in_flight"])
    return found
