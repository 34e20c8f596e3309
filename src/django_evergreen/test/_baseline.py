"""
Leftovers that a project has already, in a file: only new ones fail its tests.

Each line is the fingerprint of one, which stays the same when lines of code move.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._leftovers import Leftover

_HEAD = """\
# What tests of this project leave over: known, and so no failure. Written by
# `manage.py test --leftovers-baseline FILE`, as FILE did not exist. Remove a line
# when it's mended, or the file to have it written anew.
"""


def fingerprint_line(leftover: Leftover) -> str:
    return " ".join(leftover.fingerprint.split())


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """
    What a file says. Can be pickled.
    """

    path: Path
    # None: there is no file yet. All that is found goes into it.
    known: frozenset[str] | None

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """
        Return what the file says, if there is one.
        """
        if not path.exists():
            return cls(path=path, known=None)
        lines = map(str.strip, path.read_text(encoding="utf-8").splitlines())
        known = frozenset(line for line in lines if line and line[0] != "#")
        return cls(path=path, known=known)

    def new(self, leftovers: Iterable[Leftover]) -> list[Leftover]:
        """
        Return those that the file doesn't have.
        """
        if self.known is None:
            return []
        return [x for x in leftovers if fingerprint_line(x) not in self.known]

    def write(self, leftovers: Iterable[Leftover]) -> int:
        """
        Make the file. Returns the number of its lines.
        """
        lines = sorted(set(map(fingerprint_line, leftovers)))
        text = _HEAD + "".join(f"{line}\n" for line in lines)
        self.path.write_text(text, encoding="utf-8")
        return len(lines)

    def conclude(self, leftovers: Sequence[Leftover], *, is_complete: bool) -> str:
        """
        Return the message for the end of a run, in which ``leftovers`` were found.
        Writes the file if there was none, unless the run was broken off.
        """
        if self.known is None:
            if not is_complete:
                return f"{self.path} was not written, as the run was broken off."
            count = self.write(leftovers)
            return (
                f"Wrote {self.path}: {_count(count, 'leftover')} known from now on. "
                "New ones will fail their tests."
            )
        found = set(map(fingerprint_line, leftovers))
        text = (
            f"Leftovers: {len(found & self.known)} known by {self.path}, "
            f"{len(found - self.known)} new."
        )
        unseen = len(self.known - found)
        if unseen and is_complete:
            text += f" {_count(unseen, 'line')} of the file found nothing."
        return text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
