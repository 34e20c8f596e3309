"""
One run of a suite: a process, in one mode, on one database.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from ._environment import Environment
from ._records import Reader, Records
from .suites import Suite

# Seconds without the end of a test.
STALLED_AFTER = 5 * 60.0

LOOKS_AS_ERROR = r"[A-Za-z_.]+: \S|Fatal Python error"

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

    def was_recorded(self) -> bool:
        """
        Return whether there are the records of such a run, and read them.
        """
        if not Path(self.environment.records).exists():
            return False
        self._reader = Reader(Path(self.environment.records))
        return self.records.end is not None

    def start(self) -> None:
        records = Path(self.environment.records)
        records.unlink(missing_ok=True)
        self._reader = Reader(records)
        variables = {**os.environ, **self.environment.variables()}
        # The same order of sets in all modes.
        variables |= self.suite.environment(self.environment.database)
        variables |= {"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "0"}
        with self.log.open("wb") as log:
            self._seen, self._seen_at = 0, time.monotonic()
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.source / self.suite.directory,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _command(self) -> list[str]:
        suite = self.suite
        python = (sys.executable, "-X", "faulthandler", "-m")
        return [*python, suite.module, *suite.arguments, *self.labels]

    @property
    def records(self) -> Records:
        return self._reader.read()

    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stop_if_stalled(self) -> None:
        """
        Abort a run in which no test has ended for long; its stacks are in the log.
        """
        count = len(self.records.outcomes)
        if count != self._seen:
            self._seen, self._seen_at = count, time.monotonic()
        elif time.monotonic() - self._seen_at > STALLED_AFTER:
            assert self._process is not None
            self._process.send_signal(signal.SIGABRT)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def selected_nothing(self) -> bool:
        """
        Return whether it has ended without a test that its mode is about.
        """
        records = self.records
        return records.end is not None and not records.total and not records.outcomes

    def failure(self) -> str:
        """
        Return why what it has recorded is not the whole, or "".
        """
        records = self.records
        if records.end is None:
            return f"it died after {len(records.outcomes)} tests: {self._last_error()}"
        if not records.outcomes:
            return f"it ran no test: {self._last_error()}"
        if records.end["waits"] == 0:
            return "no test was suspended"
        if records.end.get("requests") == 0:
            return "no request was served"
        return ""

    def _last_error(self) -> str:
        """
        Return what the log has last that looks as an error: of a patch whose target
        has moved, for example.
        """
        lines = self.log.read_text(errors="replace").splitlines()
        found = [line for line in lines if re.match(LOOKS_AS_ERROR, line)]
        return f"{found[-1] if found else 'it said nothing'} (see {self.log})"
