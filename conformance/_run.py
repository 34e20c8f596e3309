"""
One run of a suite: a process, in one mode, on one database.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ._environment import Environment
from ._records import Reader, Records
from .suites import Suite

REPOSITORY = Path(__file__).parent.parent


@dataclass(eq=False)
class Run:
    suite: Suite
    source: Path
    environment: Environment
    labels: list[str]
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _reader: Reader = field(init=False)

    def start(self) -> None:
        records = Path(self.environment.records)
        records.unlink(missing_ok=True)
        self._reader = Reader(records)
        variables = {**os.environ, **self.environment.variables()}
        # The same order of sets in all modes.
        variables |= {"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "0"}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.suite.module, *self.labels],
                cwd=self.source / self.suite.directory,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def records(self) -> Records:
        return self._reader.read()

    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def failure(self) -> str:
        """
        Return why what it has recorded is not the whole, or "".
        """
        records = self.records
        if records.end is None:
            return f"it died after {len(records.outcomes)} tests; see {self.log}"
        if not records.outcomes:
            return f"it ran no test; see {self.log}"
        if records.end["waits"] == 0:
            return "no test was suspended"
        return ""
