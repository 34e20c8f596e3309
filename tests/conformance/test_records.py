"""
What a run writes about its tests, and who reads it meanwhile.
"""

from __future__ import annotations

import io
import unittest

import pytest
from conformance._records import Outcome, Reader, Writer
from conformance.child.recorder import Recorder


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.jsonl"


def test_reader_follows_the_writer(path):
    reader = Reader(path)
    assert reader.read().outcomes == {}
    with Writer(path) as writer:
        writer.total(2)
        writer.outcome("a", Outcome("passed"))
        assert reader.read().outcomes == {"a": Outcome("passed")}
        assert reader.records.total == 2
        assert reader.records.end is None
        writer.outcome("b", Outcome("error", "KeyError", "Traceback", 0.5))
        writer.end(waits=3)
    assert reader.read().outcomes["b"] == Outcome("error", "KeyError")
    assert reader.records.end == {"waits": 3}


def test_reader_of_half_a_line(path):
    reader = Reader(path)
    with path.open("w", buffering=1) as file:
        file.write('{"total"')
        file.flush()
        assert reader.read().total == 0
        file.write(": 7}\n")
        assert reader.read().total == 7


class Judged(unittest.TestCase):
    """
    Not collected by pytest, as it has no name of a test.
    """

    def succeeds(self):
        pass

    def fails(self):
        self.fail("1 != 2")

    def breaks(self):
        raise KeyError

    def is_skipped(self):
        self.skipTest("no cache")

    def breaks_in_a_subtest(self):
        for number in range(3):
            with self.subTest(number=number):
                assert 1 // number

    @unittest.expectedFailure
    def is_expected_to_fail(self):
        self.fail("1 != 2")

    @unittest.expectedFailure
    def succeeds_unexpectedly(self):
        pass


class BreaksInItsFixture(Judged):
    @classmethod
    def setUpClass(cls):
        raise KeyError


@pytest.mark.parametrize(
    ("method", "status", "detail"),
    [
        ("succeeds", "passed", ""),
        ("fails", "failed", "AssertionError"),
        ("breaks", "error", "KeyError"),
        ("is_skipped", "skipped", "no cache"),
        ("breaks_in_a_subtest", "error", "ZeroDivisionError"),
        ("is_expected_to_fail", "expected failure", ""),
        ("succeeds_unexpectedly", "unexpected success", ""),
    ],
)
def test_how_a_test_ended(path, method, status, detail):
    outcomes = run(path, Judged(method))
    assert outcomes == {f"{__name__}.Judged.{method}": Outcome(status, detail)}


def test_fixture_of_a_class_that_fails(path):
    (name,) = outcomes = run(path, BreaksInItsFixture("succeeds"))
    assert name == f"setUpClass ({__name__}.BreaksInItsFixture)"
    assert outcomes[name] == Outcome("error", "KeyError")


def run(path, test):
    with Writer(path) as Recorder.writer:
        runner = unittest.TextTestRunner(stream=io.StringIO(), resultclass=Recorder)
        runner.run(unittest.TestSuite([test]))
    return Reader(path).read().outcomes
