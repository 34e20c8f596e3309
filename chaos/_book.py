"""
What is known of each transfer from outside the database: must it be there?
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Fate(Enum):
    # Its transaction was not asked to commit, or was rolled back.
    NEVER = "must not exist"
    # The COMMIT was under way when the connection or the task was lost.
    UNKNOWN = "may exist"
    # The transaction has told that it's committed.
    EXISTS = "must exist once"


@dataclass
class Entry:
    order: Any
    fate: Fate = Fate.NEVER
    # What happened to it and when, for the report.
    history: list[str] = field(default_factory=list)


class Book:
    """
    Holds an entry for each token that was ever drawn.
    """

    def __init__(self):
        self._started = time.monotonic()
        self.entries = {}

    def open(self, order, program):
        self.entries[order.token] = entry = Entry(order)
        self._add(entry, f"drawn by {program}")

    def _add(self, entry, what):
        entry.history.append(f"{what} at {time.monotonic() - self._started:.2f} s")

    def note(self, tokens, fate, why):
        for token in tokens:
            entry = self.entries[token]
            # A commit can't be taken back.
            if entry.fate is not Fate.EXISTS:
                entry.fate = fate
            self._add(entry, why)

    def describe(self, token):
        entry = self.entries[token]
        return f"{entry.order} ({', then '.join(entry.history)})"

    def suspects(self, account, difference):
        """
        Return the transfers that may have left such a difference in an account.
        """
        return [
            self.describe(token)
            for token, entry in self.entries.items()
            if entry.order.amount == abs(difference)
            and account in (entry.order.source, entry.order.target)
        ]

    def acknowledged(self):
        return sum(entry.fate is Fate.EXISTS for entry in self.entries.values())

    def contradictions(self, tokens):
        """
        Compare with all tokens that the database has; yield what's wrong.
        """
        found = Counter(tokens)
        for token in found.keys() - self.entries.keys():
            yield f"The transfer {token} exists, but nobody has made it."
        for token, entry in self.entries.items():
            count = found[token]
            allowed = {
                Fate.NEVER: count == 0,
                Fate.UNKNOWN: count <= 1,
                Fate.EXISTS: count == 1,
            }
            if not allowed[entry.fate]:
                yield (
                    f"The transfer {self.describe(token)} {entry.fate.value}, "
                    f"but the database has it {count} times."
                )
