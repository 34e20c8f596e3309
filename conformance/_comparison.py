"""
What differs between two runs of a suite.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ._records import Outcome, Records

EXPECTED = Path(__file__).parent / "expected.toml"
# How many differences a cell may expect.
MAX_EXPECTED = 5

NOT_RUN = Outcome("not run")


@dataclass(frozen=True)
class Cell:
    """
    One suite, in one version, on one database, in one mode.
    """

    suite: str
    version: str
    database: str
    mode: str

    def __str__(self) -> str:
        return f"{self.suite}-{self.version}-{self.database}-{self.mode}"


@dataclass(frozen=True)
class Difference:
    test: str
    stock: Outcome
    ours: Outcome
    # Why it's expected; "" if it isn't.
    reason: str = ""

    def as_json(self) -> dict[str, str]:
        line = {"test": self.test, "stock": str(self.stock), "ours": str(self.ours)}
        return {**line, "reason": self.reason} if self.reason else line


def compare(stock: Records, ours: Records, *, is_part: bool) -> list[Difference]:
    """
    Return the tests that have ended otherwise. With ``is_part``, those that only
    the stock engine has run are no difference.
    """
    names = ours.outcomes.keys() if is_part else {**stock.outcomes, **ours.outcomes}
    pairs = (
        (name, stock.outcomes.get(name, NOT_RUN), ours.outcomes.get(name, NOT_RUN))
        for name in names
    )
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]


def explain(differences: Iterable[Difference], cell: Cell) -> list[Difference]:
    """
    Return the differences with the reasons for which they are expected.
    """
    reasons = expected(cell)
    return [
        Difference(d.test, d.stock, d.ours, reasons.get(d.test, ""))
        for d in differences
    ]


def expected(cell: Cell) -> dict[str, str]:
    """
    Return the tests that may differ, with the reasons.
    """
    reasons = {
        entry["test"]: entry["reason"]
        for entry in load_expected()
        if _is_about(entry, cell)
    }
    if len(reasons) > MAX_EXPECTED:
        msg = f"{cell} expects {len(reasons)} differences; {MAX_EXPECTED} are allowed."
        raise SystemExit(msg)
    return reasons


def load_expected() -> list[dict[str, Any]]:
    if not EXPECTED.exists():
        return []
    entries: list[dict[str, Any]] = tomllib.loads(EXPECTED.read_text())["difference"]
    return entries


def _is_about(entry: dict[str, Any], cell: Cell) -> bool:
    """
    Return whether each key of an entry that restricts it names the cell's value.
    """
    series = ".".join(cell.version.split(".")[:2])
    values = {**asdict(cell), "version": series}
    return all(values[key] in entry[key] for key in values if key in entry)


def count(records: Records) -> dict[str, int]:
    """
    Return how many tests ran and how they ended; and how many requests were served,
    where that was counted.
    """
    statuses = Counter(outcome.status for outcome in records.outcomes.values())
    passed = statuses["passed"] + statuses["expected failure"]
    skipped = statuses["skipped"]
    requests = (records.end or {}).get("requests")
    return {
        "ran": statuses.total(),
        "passed": passed,
        "skipped": skipped,
        "failed": statuses.total() - passed - skipped,
        **({} if requests is None else {"requests": requests}),
    }
