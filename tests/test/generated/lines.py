"""
A line of execution through the steps of a program, and what is seen on its way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import unittest
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError

from tests.app.models import Author

from . import leftovers

ROWS = Author.objects.exclude(name=leftovers.NAME).order_by("name")


class AnyNumber(int):
    """
    Equals any other.
    """

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


ANY_NUMBER = AnyNumber()


class Undo(Exception):
    """
    Leaves a block.
    """


@dataclass
class Run:
    """
    One run of a module.
    """

    # Whether of the sync twin.
    is_twin: bool
    # What was seen: (place, value), and a list for each parallel branch.
    trace: list[Any] = field(default_factory=list)
    # How often each kind of step was taken.
    taken: Counter[str] = field(default_factory=Counter)
    # What has to be found left over, by its kind: known to the twin only.
    left: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Line:
    """
    Where the steps are taken: by a test or a class, at a place of its program.
    """

    run: Run
    # The program of the class; and who runs it, the class or an instance.
    program: Any
    owner: Any
    place: str
    trace: list[Any]
    # It looks at rows whose names begin so.
    rows: str = ""

    def at(self, number):
        return dataclasses.replace(self, place=f"{self.place}.{number}")

    def branches(self, count):
        """
        Return lines that see nothing of each other.
        """
        lines = []
        for number in range(count):
            place, trace = f"{self.place}/{number}", []
            self.trace.append(trace)
            lines.append(
                dataclasses.replace(self, place=place, trace=trace, rows=f"{place}.")
            )
        return lines

    @property
    def of_class(self):
        return isinstance(self.owner, type)

    def note(self, value):
        self.trace.append((self.place, value))

    def take(self, step):
        self.run.taken[type(step).__name__] += 1
        if kind := getattr(step, "kind", None):
            self.run.taken[f"{self.program.fate}: {kind}"] += 1

    # What steps in sync and in async code share.

    def query(self):
        return ROWS.filter(name__startswith=self.rows)

    def names(self):
        return self.query().values_list("name", flat=True)

    def expect(self, rows, found):
        if rows != found:
            raise AssertionError(f"{found} rows at {self.place}")

    def fail(self, how):
        kinds = {"fail": AssertionError, "error": ValueError, "skip": unittest.SkipTest}
        raise kinds[how](self.place)

    @contextlib.contextmanager
    def undone(self):
        """
        Go on after a block that has failed on purpose.
        """
        try:
            yield
        except (IntegrityError, Undo) as error:
            self.note(type(error).__name__)

    @contextlib.contextmanager
    def caught(self, errors):
        """
        Go on after a branch that has failed, whose siblings shall not be cancelled.
        """
        try:
            yield
        except Exception as error:
            errors[self.place] = error

    def change(self):
        author = getattr(self.owner, "author", None)
        if author is not None:
            author.name += "!"
            self.note(author.name)
