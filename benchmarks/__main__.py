"""
Measure this package, side by side with stock Django. ``make bench`` runs it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import queries, suites
from .web import load, requests

PARTS = ["queries", "tests", "requests", "load"]


def main():
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "part",
        nargs="?",
        choices=PARTS,
        help="what to measure: single queries, runs of tests, the CPU time of "
        "requests, or requests over HTTP; all of them, unless told",
    )
    parser.add_argument(
        "--rounds", type=int, help="16 of queries, 7 of tests and requests, 5 over HTTP"
    )
    parser.add_argument(
        "--times", type=int, help="in a round: 1000 queries, or 200 requests"
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="over HTTP, in a round"
    )
    parser.add_argument(
        "--in-flight", type=int, default=10_000, help="requests over HTTP, at once"
    )
    parser.add_argument(
        "--uvloop",
        action="store_true",
        help="for queries and requests, instead of asyncio",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write there what was found for requests, in each round",
    )
    options = parser.parse_args()
    try:
        found = {
            part: measure(part, options) for part in PARTS if wanted(part, options)
        }
    except KeyboardInterrupt:
        sys.exit(130)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def wanted(part, options):
    return options.part in (None, part)


def measure(part, options):
    rounds, times = options.rounds, options.times
    if part == "queries":
        return queries.main(rounds or 16, times or 1000, options.uvloop)
    if part == "tests":
        return suites.main(rounds or 7)
    if part == "requests":
        return requests.main(rounds or 7, times or 200, options.uvloop)
    return load.main(rounds or 5, options.seconds, options.uvloop, options.in_flight)


main()
