"""
Ten thousand requests in flight: each makes a query, waits a second for somebody else,
and makes another one, on a pool of 20 connections.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass

from . import targets
from .generator import Burst, generate
from .project import WAYS
from .serving import serving

PATH = "/upstream/"
POOL_SIZE = 20
# So many warm the server up: few, as it keeps the memory.
WARM_UP = 20
# The CPU time of one is that of a tenth as many.
FEW = 10
# Stock ASGI keeps the connection while the request waits, so it serves 20 in a second.
OF_STOCK = 200
# Descriptors for all that is no connection of a client.
OTHER_FILES = 500
# Seconds between two looks at threads and connections.
INTERVAL = 0.05


@dataclass
class InFlight:
    """
    What a server needed. Memory is in KB per request.
    """

    requests: int
    answered: int
    errors: int
    first_error: str
    seconds: float
    # Seconds of CPU, and those of one request when few are in flight.
    cpu: float
    cpu_of_one: float
    memory: float
    # Of that, what uvicorn keeps for an idle connection of a client.
    memory_of_connection: float
    threads_at_rest: int
    threads: int
    connections: int


class Watch(threading.Thread):
    """
    Looks at a server until it's stopped: for the most threads and connections.
    """

    def __init__(self, server, database):
        super().__init__(daemon=True)
        self._server, self._database = server, database
        self._is_over = threading.Event()
        self.threads = self.connections = 0

    def run(self):
        with self._database.connect() as session:
            while not self._is_over.wait(INTERVAL):
                rows = session.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s",
                    [self._server.way],
                )
                self.connections = max(self.connections, rows.fetchone()[0])
                self.threads = max(self.threads, self._server.threads())

    def stop(self):
        self._is_over.set()
        self.join(30)


def measure_in_flight(postgresql, database, core, files, requests, uvloop):
    found = {}
    most = files - OTHER_FILES
    if most < requests:
        print(
            f"\nOnly {most} requests in flight instead of {requests}: the hard limit "
            f"of open files is {files}. Raise it (ulimit -Hn)."
        )
        requests = most
    for way, count in ("evergreen", requests), ("asgi", min(OF_STOCK, requests)):
        # Another server, as the end of many connections would count in its CPU time.
        with serving(way, core, database, POOL_SIZE, uvloop) as server:
            cpu_of_one = _cpu_of_one(server, max(1, count // FEW))
        with serving(way, core, database, POOL_SIZE, uvloop) as server:
            found[way] = asdict(_measure(server, postgresql, count, cpu_of_one))
    return found


def _cpu_of_one(server, few):
    generate(Burst, server.port, PATH, WARM_UP)
    cpu = server.cpu_seconds()
    generate(Burst, server.port, PATH, few)
    return (server.cpu_seconds() - cpu) / few


def _measure(server, postgresql, count, cpu_of_one):
    generate(Burst, server.port, PATH, WARM_UP)
    at_rest, _ = server.memory()
    threads_at_rest = server.threads()
    connected = []

    def when_connected():
        connected.append(server.memory()[0])
        connected.append(server.cpu_seconds())

    server.forget_peak()
    watch = Watch(server, postgresql)
    watch.start()
    try:
        outcome = generate(Burst, server.port, PATH, count, when_connected)
        cpu = server.cpu_seconds()
    finally:
        watch.stop()
    memory, cpu_before = connected
    peak = server.memory()[1]
    return InFlight(
        requests=count,
        answered=len(outcome.latencies),
        errors=outcome.errors,
        first_error=outcome.first_error,
        seconds=outcome.seconds,
        cpu=cpu - cpu_before,
        cpu_of_one=cpu_of_one,
        memory=(peak - at_rest) / count,
        memory_of_connection=(memory - at_rest) / count,
        threads_at_rest=threads_at_rest,
        threads=watch.threads,
        connections=watch.connections,
    )


def report_in_flight(found):
    print(f"\nRequests in flight, on a pool of {POOL_SIZE} connections")
    for way, values in found.items():
        found_here = InFlight(**values)
        print(f"  {WAYS[way]}: {describe(found_here)}")
    ours = InFlight(**found["evergreen"])
    needed = 1 + ours.requests * ours.cpu_of_one
    for name, value in [
        ("errors", ours.errors),
        ("threads", ours.threads - ours.threads_at_rest),
        ("memory", ours.memory),
        ("connections", ours.connections),
        ("seconds", ours.seconds / needed),
    ]:
        print(targets.verdict(name, value))


def describe(found):
    text = (
        f"{found.answered} of {found.requests} answered in {found.seconds:.1f} s, "
        f"{found.cpu / found.seconds:.0%} of the core, "
        f"{found.cpu / found.requests * 1e6:.0f} us of CPU each "
        f"({found.cpu_of_one * 1e6:.0f} when few), "
        f"{found.memory:.1f} KB each ({found.memory_of_connection:.1f} of them for "
        f"its connection), {found.threads} threads ({found.threads_at_rest} at rest), "
        f"{found.connections} connections"
    )
    if found.errors:
        text += f", {found.errors} errors. The first: {found.first_error}"
    return text
