"""
What people read: lines on the terminal, and docs/conformance.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import modes, suites
from ._judge import Verdict

DOCUMENT = Path(__file__).parent.parent / "docs" / "conformance.md"
COLUMNS = ("ran", "passed", "skipped", "failed")
# Of the differences that a terminal shows.
MAX_SHOWN = 50

INTRODUCTION = """\
# Conformance

Django's own test suite is the judge of this project: it was written by others, and
it knows nothing of it.
`make conformance` fetches the source distribution of the Django that is installed,
runs its whole suite on the stock engine and on ours, side by side, and compares test
by test.
A test must pass, be skipped (for the same reason) or fail (by the same exception) on
both; else it is a difference, and the command fails.

This page is written by that command, from the files in `conformance/results`.
`make conformance-all` does it for each supported version of Django.
"""

THIRD_PARTIES = f"""\
The suites of others who build on Django are run by `make conformance-third-party`.
These could not be run, as their source distributions ship no tests:
{", ".join(suites.WITHOUT_TESTS)}.
"""

LEGEND = """\
Tests that fail do so on the stock engine too, in the same way: most of them need
what the machine did not have, such as PostgreSQL with ICU, or another database.
*Waits* are the times that a test was suspended on the event loop.
*CPU* is the time of the whole run, compared with that of the stock engine beside it
(on a machine with two noisy cores).
*Unstable* are tests that differed once, and did not when both were repeated.
"""


def lines_of(verdict: Verdict) -> Iterator[str]:
    """
    Yield what to tell of a verdict on a terminal.
    """
    yield f"\n== {verdict.cell}: {'passed' if verdict.is_passed else 'FAILED'}"
    if verdict.failure:
        yield f"The runs can't be compared: {verdict.failure}."
        return
    if verdict.counts:
        yield ", ".join(f"{n} {what}" for what, n in verdict.counts.items())
    for title, found in (
        ("differ unexpectedly", verdict.unexpected),
        ("differ as expected", [d for d in verdict.differences if d.reason]),
        ("differed once, and not when repeated", verdict.unstable),
    ):
        if found:
            yield f"{len(found)} {title}:"
            for d in found[:MAX_SHOWN]:
                yield f"  {d.test}\n      stock: {d.stock}\n      ours:  {d.ours}"
    for test in verdict.stale:
        yield f"  {test} is expected to differ, and does not: drop it."


def write(results: Sequence[dict[str, Any]]) -> None:
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text("\n".join(_document(results)) + "\n")


def _document(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield INTRODUCTION
    yield THIRD_PARTIES
    for mode in modes.NAMES:
        cells = [result for result in results if result["mode"] == mode]
        if cells:
            yield f"## {mode}: {modes.load(mode).title}\n"
            yield from _table(cells)
            yield ""
    yield LEGEND
    yield from _differences(results)


def _table(cells: Sequence[dict[str, Any]]) -> Iterator[str]:
    counts = COLUMNS
    if any("requests" in cell for cell in cells):
        counts = (*COLUMNS, "requests")
    heads = ("Suite", "Database", "Python", *(c.title() for c in counts))
    yield _row((*heads, "Waits", "CPU", "Differences", "Unstable"))
    yield _row(["---"] * 3 + ["---:"] * (len(counts) + 4))
    for cell in cells:
        yield _row(
            (
                f"{cell['suite']} {cell['version']}",
                cell["database"],
                cell["python"],
                *(f"{cell[column]:,}" for column in counts),
                "" if cell["waits"] is None else f"{cell['waits']:,}",
                _cpu(cell),
                len(cell["differences"]),
                len(cell["unstable"]),
            )
        )


def _cpu(cell: dict[str, Any]) -> str:
    if cell["ran"] != cell["stock"]["ran"]:
        return ""  # of a part, with nothing to compare
    return f"{cell['cpu_seconds'] / cell['stock']['cpu_seconds']:.2f}"


def _row(values: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, values))} |"


def _differences(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for result in results:
        cell = f"{result['version']} {result['database']} {result['mode']}"
        for d in result["differences"]:
            key = d["test"], d["stock"], d["ours"], d.get("reason", "not known yet")
            found.setdefault(key, []).append(cell)
    yield "## Differences\n"
    if not found:
        yield "There are none."
    for (test, stock, ours, reason), cells in found.items():
        yield f"- `{test}` ({', '.join(cells)}): {stock} on stock, {ours} on ours."
        yield f"  {reason}"
