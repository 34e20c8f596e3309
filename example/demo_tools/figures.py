"""
One measurement: the load, and what it came to.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass

from demo_tools.load_generator import ENOUGH_ERRORS, Result
from demo_tools.processes import running
from demo_tools.server import Server
from demo_tools.watch import Watch, watching

# The warm-up, the measurement, and time to spare.
DEADLINE = 60.0


@dataclass(frozen=True)
class Figures:
    """
    What is told of one stack on one database.
    """

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_request: float
    peak_threads: int
    errors: int
    first_error: str
    # The share of one core that the load generator took.
    generator_load: float

    def __str__(self) -> str:
        text = f"{self.requests_per_second:,.0f} requests/s, {self.errors} errors"
        return f"{text}. First: {self.first_error}" if self.errors else text


def measure(server: Server) -> Figures:
    """
    Put the load on ``server``.
    """
    with watching(server.pid) as watch:
        result = _generate_load(server)
    if result.errors >= ENOUGH_ERRORS or len(result.latencies) < 2:
        many = f"{result.errors} requests failed, {len(result.latencies)} did not"
        reason = f"{many}. The first error: {result.first_error}"
        raise server.failure(reason)
    return _figures(result, watch)


def _generate_load(server: Server) -> Result:
    command = [sys.executable, "-m", "demo_tools.load_generator", server.url]
    pipe = subprocess.PIPE
    with running(command, {}, stdout=pipe, stderr=pipe) as process:
        try:
            out, errors = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired as error:
            late = f"The load generator was not done after {DEADLINE:.0f} s."
            raise server.failure(late) from error
    if process.returncode:
        failed = f"The load generator failed:\n{errors}"
        raise server.failure(failed)
    return Result(**json.loads(out))


def _figures(result: Result, watch: Watch) -> Figures:
    seconds = result.ended - result.began
    done = len(result.latencies)
    percentiles = statistics.quantiles(result.latencies, n=100, method="inclusive")
    return Figures(
        requests_per_second=done / seconds,
        p50_ms=percentiles[49] * 1_000,
        p99_ms=percentiles[98] * 1_000,
        cpu_ms_per_request=watch.cpu_between(result.began, result.ended) / done * 1_000,
        peak_threads=watch.peak_threads,
        errors=result.errors,
        first_error=result.first_error,
        generator_load=result.cpu / seconds,
    )
