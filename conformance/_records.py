"""
What a run says of its tests: a line of JSON for each, in the order of their ends.

Lines are written at once, so that a run that dies has told how far it came.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO


@dataclass(frozen=True)
class Outcome:
    """
    How a test ended: passed, skipped, failed, error, expected failure or
    unexpected success.
    """

    status: str
    # The class of the exception, or why it was skipped.
    detail: str = ""
    # For people, not compared.
    text: str = field(default="", compare=False)
    seconds: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        return f"{self.status} ({self.detail})" if self.detail else self.status


class Writer:
    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def total(self, count: int) -> None:
        self._write(total=count)

    def outcome(self, test: str, outcome: Outcome) -> None:
        self._write(test=test, **asdict(outcome))

    def end(self, **facts: Any) -> None:
        self._write(end=facts)

    def _write(self, **line: Any) -> None:
        self._file.write(json.dumps(line) + "\n")


@dataclass
class Records:
    """
    What could be read of a run so far.
    """

    total: int = 0
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    # What the run told at its end; None while it goes on, or if it died.
    end: dict[str, Any] | None = None


class Reader:
    """
    Follows the file of a run.
    """

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path, self._offset = path, 0
        self._rest = ""
        self.records = Records()

    def read(self) -> Records:
        """
        Return everything that was written until now.
        """
        with self._path.open() as file:
            file.seek(self._offset)
            *lines, self._rest = (self._rest + file.read()).split("\n")
            self._offset = file.tell()
        for line in lines:
            self._take(json.loads(line))
        return self.records

    def _take(self, line: dict[str, Any]) -> None:
        if "total" in line:
            self.records.total += line["total"]
        elif "end" in line:
            self.records.end = line["end"]
        else:
            name = line.pop("test")
            self.records.outcomes[name] = Outcome(**line)
