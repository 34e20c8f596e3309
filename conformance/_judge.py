"""
One suite on one database: its runs, and what came of them.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import suites
from ._comparison import Cell, Difference, compare, count, expected, explain
from ._environment import Environment
from ._progress import perform
from ._results import result_of
from ._run import Run
from ._source import ROOT, fetch

LOGS = ROOT / "logs"
# Where a file costs no disk.
MEMORY = Path("/dev/shm")
# More than so many differences are no accident: they are not repeated.
MAX_REPEATED = 300


@dataclass
class Verdict:
    cell: Cell
    # Why the runs can't be compared.
    failure: str = ""
    differences: list[Difference] = field(default_factory=list)
    unstable: list[Difference] = field(default_factory=list)
    # Expected to differ, and didn't.
    stale: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    # To be kept.
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def unexpected(self) -> list[Difference]:
        return [d for d in self.differences if not d.reason]

    @property
    def is_passed(self) -> bool:
        return not (self.failure or self.unexpected or self.stale)


@dataclass
class Judge:
    name: str
    database: str
    # Take one test class in this many.
    share: int
    labels: list[str]
    # The database server, or the directory for SQLite.
    host: str
    port: str = ""
    # Compare with the stock run before this one, if it was recorded.
    reuses_stock: bool = False

    def __post_init__(self) -> None:
        self.suite = suites.load(self.name)
        self.source = fetch(self.suite.distribution)
        self.version = version(self.suite.distribution)

    @property
    def is_whole(self) -> bool:
        return self.share == 1 and not self.labels

    def verdicts(self, modes: Sequence[str]) -> list[Verdict]:
        """
        Run the suite in these modes, and return a verdict on each.
        """
        runs = {mode: self._run(mode, self.labels) for mode in ("stock", *modes)}
        stock = runs.pop("stock")
        if not (self.reuses_stock and stock.was_recorded()):
            runs = {"stock": stock, **runs}
        perform(list(runs.values()))
        runs.pop("stock", None)
        return [self._verdict(mode, stock, run) for mode, run in runs.items()]

    def _run(self, mode: str, labels: list[str], suffix: str = "") -> Run:
        LOGS.mkdir(parents=True, exist_ok=True)
        part = "" if self.is_whole else "-part"
        stem = LOGS / f"{self._cell(mode)}{part}{suffix}"
        environment = Environment(
            mode=mode,
            database=self.database,
            records=f"{stem}.jsonl",
            host=self.host,
            port=self.port,
            share=str(self.share),
        )
        return Run(self.suite, self.source, environment, labels, Path(f"{stem}.log"))

    def _cell(self, mode: str) -> Cell:
        return Cell(self.name, self.version, self.database, mode)

    def _verdict(self, mode: str, stock: Run, ours: Run) -> Verdict:
        cell = self._cell(mode)
        is_part = mode in self.suite.partial_modes
        if is_part and not self.is_whole and ours.selected_nothing():
            return Verdict(cell)
        for run in (stock, ours):
            if failure := run.failure():
                return Verdict(cell, f"{run.environment.mode}: {failure}")
        found = compare(stock.records, ours.records, is_part=is_part)
        found = explain(found, cell)
        unstable = self._unstable(mode, found)
        differences = [d for d in found if d not in unstable]
        verdict = Verdict(cell, "", differences, unstable, counts=count(ours.records))
        if self.is_whole:
            verdict.stale = sorted(expected(cell).keys() - {d.test for d in found})
            verdict.result = result_of(cell, stock, ours, differences, unstable)
        return verdict

    def _unstable(self, mode: str, found: Sequence[Difference]) -> list[Difference]:
        """
        Return those of the differences that are gone when both are repeated.
        """
        suspects = [d for d in found if not d.reason]
        if not 0 < len(suspects) <= MAX_REPEATED:
            return []
        labels = self.suite.labels([d.test for d in suspects])
        runs = [self._run(m, labels, f"-again-{mode}") for m in ("stock", mode)]
        perform(runs)
        stock, ours = (run.records for run in runs)
        again = {d.test for d in compare(stock, ours, is_part=False)}
        seen = stock.outcomes.keys() & ours.outcomes.keys()
        return [d for d in suspects if d.test in seen - again]


@contextlib.contextmanager
def place_for(database: str) -> Iterator[tuple[str, str]]:
    """
    Give the host and the port of a server, or a directory for SQLite.
    """
    if database == "sqlite":
        directory = MEMORY if MEMORY.is_dir() else None
        with tempfile.TemporaryDirectory(dir=directory) as host:
            yield host, ""
        return
    from ._server import running_postgresql

    with running_postgresql() as server:
        yield server.host, str(server.port)
