"""
The report about what a test has left over, for people.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ._leftovers import ADVICE, Leftover
from ._sites import Site

# Kinds that wait for nothing themselves.
HANDLES = {"timer", "reader"}

# How much of a statement is shown.
MAX_SQL = 200


class LeftoversFound(AssertionError):
    """
    A test has started something that went on after its end.
    """

    __module__ = "django_evergreen.test"

    def __init__(self, message: str, leftovers: Sequence[Leftover] = ()) -> None:
        super().__init__(message, leftovers)
        self.leftovers = list(leftovers)

    def __str__(self) -> str:
        return str(self.args[0])


def report(owner: str, leftovers: Sequence[Leftover]) -> str:
    """
    Return the text about all that was left over by a test or class.
    """
    count = len(leftovers)
    noun = "thing that was" if count == 1 else "things that were"
    lines = [f"{owner} left over {count} {noun} still running or open:"]
    alike: dict[Any, list[Leftover]] = {}
    for leftover in leftovers:
        alike.setdefault(_sameness(leftover), []).append(leftover)
    for first, *others in alike.values():
        lines.append(describe(first))
        if others:
            lines.append(f"    and {len(others)} more like this")
    return "\n".join(lines)


def _sameness(leftover: Leftover) -> Any:
    """
    Return what is equal for those that one line of the user's code has started.
    """
    created, waits = leftover.created_at, leftover.waits_at
    return (
        leftover.kind,
        leftover.function or leftover.name,
        leftover.outcome,
        created and created[:3],
        waits and waits[:3],
    )


def describe(leftover: Leftover) -> str:
    """
    Return the lines about one of them.
    """
    what = f"{leftover.kind} {leftover.name!r}"
    if leftover.function and leftover.function != leftover.name:
        what += f", {leftover.function}()"
    lines = [f"- {what}, which {leftover.outcome or 'is still running'}"]
    add = lines.append
    if leftover.created_at:
        add(f"    started at {place(leftover.created_at)}")
    if leftover.request:
        add(f"    in the request {leftover.request}")
    if leftover.waits_at:
        age = f", {leftover.age:.2f} s after its start" if leftover.age else ""
        what = "its callback is" if leftover.kind in HANDLES else "it was"
        add(f"    {what} at {place(leftover.waits_at)}{age}")
    if leftover.sql:
        sql = leftover.sql
        add(f"    at the database: {sql[:MAX_SQL]}{'...' * (len(sql) > MAX_SQL)}")
    if leftover.transaction:
        add(f"    in {leftover.transaction}")
    add(f"    {ADVICE[leftover.kind]}")
    return "\n".join(lines)


def place(site: Site) -> str:
    """
    Return where it is, as a path that editors open.
    """
    filename = os.path.relpath(site.filename)
    if filename.startswith(".."):
        filename = site.filename
    return f"{filename}:{site.line} in {site.function}"
