"""
Measure this package, side by side with stock Django. ``make bench`` runs it.
"""

from __future__ import annotations

import argparse

from . import queries, suites


def main():
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "part",
        nargs="?",
        choices=["queries", "tests"],
        help="what to measure: single queries, or runs of tests; both, unless told",
    )
    parser.add_argument("--rounds", type=int, help="16 of queries, 7 of tests")
    parser.add_argument("--times", type=int, default=1000, help="queries in a round")
    parser.add_argument(
        "--uvloop", action="store_true", help="for queries, instead of asyncio"
    )
    options = parser.parse_args()
    if options.part != "tests":
        queries.main(options.rounds or 16, options.times, options.uvloop)
    if options.part != "queries":
        suites.main(options.rounds or 7)


main()
