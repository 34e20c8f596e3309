"""
What the figures should be, and whether they are.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple


class Target(NamedTuple):
    what: str
    must: float
    aim: float
    # Whether more is better.
    is_least: bool = False


TARGETS = {
    "cpu_to_wsgi": Target("CPU per request: ours / WSGI", 1.0, 0.85),
    "cpu_to_asgi": Target("CPU per request: ours / stock ASGI", 0.3, 0.2),
    "requests_per_second": Target(
        "requests per second: ours / WSGI", 1.0, 1.3, is_least=True
    ),
    "p99": Target("p99: ours / WSGI", 1.0, 0.7),
    "ten_queries": Target("ten queries: ours / stock ASGI", 0.35, 0.2),
    "memory": Target("KB of memory per request in flight", 40, 25),
    "errors": Target("errors", 0, 0),
    "connections": Target("connections at the most", 20, 20),
    "threads": Target("threads more than at rest", 0, 0),
    # Of 1 s + 10,000 x the CPU time of one.
    "seconds": Target("seconds: to those that the CPU needs, and 1 s", 1.1, 1.1),
}


def report(name, ours, others):
    """
    Print the ratio of what was measured in the same rounds.
    """
    ratios = [a / b for a, b in zip(ours, others, strict=True)]
    line = verdict(name, statistics.median(ratios))
    print(f"{line}; lowest {min(ratios):.2f}, highest {max(ratios):.2f}", flush=True)


def verdict(name, value):
    """
    Return the line that says whether a target is met.
    """
    target = TARGETS[name]
    if _is_met(target, value, target.aim):
        state = "met, and the aim"
    else:
        state = "met" if _is_met(target, value, target.must) else "MISSED"
    return (
        f"-> {target.what}: {value:.3g} "
        f"(must {target.must:g}, aim {target.aim:g}): {state}"
    )


def _is_met(target, value, limit):
    return value >= limit if target.is_least else value <= limit
