"""
What a test module does, as data: classes with hooks and tests, made of steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Steps = tuple[Any, ...]


@dataclass(frozen=True)
class Write:
    """
    Insert a row.
    """


@dataclass(frozen=True)
class Read:
    """
    Note the names of the rows.
    """


@dataclass(frozen=True)
class Delete:
    """
    Delete the rows.
    """


@dataclass(frozen=True)
class Expect:
    """
    Assert that there are so many rows.
    """

    rows: int


@dataclass(frozen=True)
class Fail:
    """
    Raise: by "fail", "error" or "skip".
    """

    how: str


@dataclass(frozen=True)
class Refused:
    """
    Violate a constraint in a block of its own, and go on.
    """


@dataclass(frozen=True)
class Broken:
    """
    Violate a constraint in no block of its own, and go on.
    """


@dataclass(frozen=True)
class Rest:
    """
    Let others take their turn.
    """


@dataclass(frozen=True)
class Atomic:
    """
    A block, left by "commit", "rollback", an exception ("raise") or a violated
    constraint ("refused").
    """

    steps: Steps
    end: str


@dataclass(frozen=True)
class OnCommit:
    """
    Note it, and insert a row, when the transaction is committed.
    """

    is_async: bool


@dataclass(frozen=True)
class Sub:
    """
    A subtest.
    """

    steps: Steps


@dataclass(frozen=True)
class Count:
    """
    Note how many statements are sent.
    """

    steps: Steps


@dataclass(frozen=True)
class Capture:
    """
    Note how many callbacks wait for a commit; perhaps call them.
    """

    steps: Steps
    execute: bool


@dataclass(frozen=True)
class Switch:
    """
    Go elsewhere: from async code to sync code in the "bridge", in a thread by
    "to_thread", "sensitive" or "insensitive"; from there back by "await".
    """

    steps: Steps
    to: str


@dataclass(frozen=True)
class Parallel:
    """
    Tasks, started by "gather" or a "group", and waited for.
    """

    branches: tuple[Steps, ...]
    by: str


@dataclass(frozen=True)
class Timeout:
    """
    A block with a deadline that is far away.
    """

    steps: Steps


@dataclass(frozen=True)
class CleanUp:
    """
    Register a cleanup.
    """

    steps: Steps
    is_async: bool


@dataclass(frozen=True)
class Enter:
    """
    Enter a context that is left by a cleanup.
    """

    steps: Steps
    is_async: bool


@dataclass(frozen=True)
class Request:
    """
    Have a view insert a row and tell how many there are.
    """

    path: str


@dataclass(frozen=True)
class Ask:
    """
    Have the task of the class count the rows.
    """


@dataclass(frozen=True)
class Change:
    """
    Change an object of setUpTestData(), of which each test has a copy.
    """


@dataclass(frozen=True)
class Leave:
    """
    Start something, and leave it over; see leftovers.py.
    """

    kind: str
    is_begun: bool


@dataclass(frozen=True)
class Hook:
    """
    A method that unittest calls.
    """

    steps: Steps
    is_async: bool


@dataclass(frozen=True)
class Test:
    """
    A test method.
    """

    steps: Steps
    is_async: bool
    # "skip", "expectedFailure" or "".
    decorator: str = ""
    # What it does until it is timed out, "sleep" for example, or "".
    hangs: str = ""
    # What is left over by the cleanup that runs last.
    last: Steps = ()

    __test__ = False


@dataclass(frozen=True)
class Class:
    """
    A test class.
    """

    # "rollback" or "flush".
    kind: str
    loop_scope: str
    # The attribute of the class.
    leftovers: str
    # What becomes of leftovers: "ended" by themselves, "cancelled" or "abandoned".
    fate: str
    # Whether a task of the class answers questions.
    has_service: bool
    tests: tuple[Test, ...]
    # By the name of the method.
    hooks: dict[str, Hook] = field(default_factory=dict)
