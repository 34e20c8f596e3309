"""
Comparing two runs, and the differences that are expected.
"""

from __future__ import annotations

import pytest
from conformance import _comparison
from conformance._comparison import (
    MAX_EXPECTED,
    Cell,
    compare,
    count,
    expected,
    explain,
    load_expected,
)
from conformance._records import Outcome, Records

PASSED = Outcome("passed")
CELL = Cell("django", "6.1.3", "postgresql", "bridge")


def records(**outcomes):
    return Records(outcomes=outcomes)


@pytest.mark.parametrize(
    ("stock", "ours"),
    [
        (PASSED, Outcome("failed", "AssertionError")),
        (Outcome("error", "KeyError"), Outcome("error", "ValueError")),
        (Outcome("skipped", "no database"), Outcome("skipped", "no cache")),
        (Outcome("failed", "AssertionError"), PASSED),
    ],
)
def test_another_end_is_a_difference(stock, ours):
    (difference,) = compare(records(a=stock), records(a=ours), is_part=False)
    assert (difference.stock, difference.ours) == (stock, ours)


def test_the_same_end_is_none():
    stock = Outcome("failed", "AssertionError", "1 != 2 at 0x1234", 3.0)
    ours = Outcome("failed", "AssertionError", "1 != 2 at 0x5678", 1.0)
    assert not compare(records(a=stock), records(a=ours), is_part=False)


def test_tests_that_one_of_them_has_not_run():
    stock, ours = records(a=PASSED, b=PASSED), records(b=PASSED, c=PASSED)
    whole = compare(stock, ours, is_part=False)
    assert [(d.test, str(d.stock), str(d.ours)) for d in whole] == [
        ("a", "passed", "not run"),
        ("c", "not run", "passed"),
    ]
    assert [d.test for d in compare(stock, ours, is_part=True)] == ["c"]


def test_count():
    outcomes = records(
        a=PASSED,
        b=Outcome("expected failure"),
        c=Outcome("skipped", "no cache"),
        d=Outcome("error", "KeyError"),
        e=Outcome("unexpected success"),
    )
    assert count(outcomes) == {"ran": 5, "passed": 2, "skipped": 1, "failed": 2}


@pytest.mark.parametrize(
    ("restriction", "is_expected"),
    [
        ({}, True),
        ({"mode": ["bridge", "async"]}, True),
        ({"version": ["6.1"], "database": ["postgresql"]}, True),
        ({"version": ["6.0"]}, False),
        ({"mode": ["bridge"], "database": ["sqlite"]}, False),
    ],
)
def test_difference_is_expected_in_some_cells(monkeypatch, restriction, is_expected):
    entry = {"test": "a", "reason": "on purpose", **restriction}
    monkeypatch.setattr(_comparison, "load_expected", lambda: [entry])
    found = compare(records(a=PASSED), records(), is_part=False)
    (difference,) = explain(found, CELL)
    assert difference.reason == ("on purpose" if is_expected else "")


def test_too_many_expected_differences_are_refused(monkeypatch):
    entries = [{"test": f"{n}", "reason": "..."} for n in range(MAX_EXPECTED + 1)]
    monkeypatch.setattr(_comparison, "load_expected", lambda: entries)
    with pytest.raises(SystemExit, match="6 differences; 5 are allowed"):
        expected(CELL)


@pytest.mark.parametrize("entry", load_expected(), ids=lambda entry: entry["test"])
def test_expected_difference_has_a_reason(entry):
    assert set(entry) <= {"test", "reason", "suite", "version", "database", "mode"}
    assert entry["reason"].strip().endswith(".")
