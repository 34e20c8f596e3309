"""
Run a suite on the stock engine and on this package's, and compare test by test.

The whole suite in all modes, on both databases, takes about an hour on two
cores; its results are kept in conformance/results and docs/conformance.md.
Parts of it, by --share or labels, are only shown.
"""

from __future__ import annotations

import argparse
import sys

from . import _results, _table, suites
from ._judge import LOGS, Judge, Verdict, place_for

DATABASES = ("postgresql", "sqlite")


def main() -> int:
    options = parse()
    verdicts = []
    for name in options.suite:
        modes = [m for m in suites.load(name).modes if m in (options.mode or [m])]
        for database in options.database:
            with place_for(database) as (host, port):
                judge = Judge(
                    name=name,
                    database=database,
                    share=options.share,
                    labels=options.labels,
                    host=host,
                    port=port,
                    reuses_stock=options.reuse_stock,
                )
                for verdict in judge.verdicts(modes):
                    verdicts.append(verdict)
                    conclude(verdict)
    failed = [str(verdict.cell) for verdict in verdicts if not verdict.is_passed]
    if failed:
        print(f"\nFAILED: {', '.join(failed)}. The logs are in {LOGS}.")
    return bool(failed)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--suite", action="append", choices=suites.NAMES, help="default: django")
    add("--third-party", action="store_true", help="all suites but Django's")
    add("--database", action="append", choices=DATABASES, help="default: both")
    add("--mode", action="append", help="default: all that the suite has")
    add("--share", type=int, default=1, metavar="N", help="take one class in N")
    add("--reuse-stock", action="store_true", help="do not run stock again")
    add("labels", nargs="*", help="as the suite's own runner takes; default: all")
    options = parser.parse_args()
    if options.third_party:
        options.suite = suites.THIRD_PARTY
    options.suite = options.suite or ["django"]
    options.database = options.database or DATABASES
    for mode in options.mode or ():
        for suite in options.suite:
            if mode not in suites.load(suite).modes:
                known = ", ".join(suites.load(suite).modes)
                parser.error(f"{suite} has the modes {known}, not {mode!r}.")
    if options.share < 1:
        parser.error("--share takes one class in N, so N is 1 or more.")
    return options


def conclude(verdict: Verdict) -> None:
    """
    Show a verdict, and keep it if it's about the whole suite.
    """
    print(*_table.lines_of(verdict), sep="\n", flush=True)
    if verdict.result:
        _results.write(verdict.cell, verdict.result)
        _table.write(_results.read_all())


if __name__ == "__main__":
    sys.exit(main())
