"""
Runs: processes that may die, hang, or not do what they are for.
"""

from __future__ import annotations

import pytest
from conformance import _run
from conformance._comparison import count
from conformance._environment import Environment
from conformance._progress import perform
from conformance._run import Run
from conformance.suites import Suite
from conformance.suites._labels import of_unittest

MINI = Suite(
    distribution="mini",
    directory=".",
    module="tests.conformance.mini_suite",
    labels=of_unittest,
)


@pytest.fixture
def make(tmp_path):
    def make(label, mode="bridge"):
        records = str(tmp_path / f"{mode}.jsonl")
        environment = Environment(
            mode=mode, database="sqlite", records=records, host=str(tmp_path)
        )
        return Run(MINI, tmp_path, environment, [label], tmp_path / f"{mode}.log")

    return make


def test_runs_side_by_side(make, capsys):
    runs = [make("passes", mode) for mode in ("stock", "plain", "bridge")]
    perform(runs)
    for run in runs:
        assert list(run.records.outcomes) == ["a.A.test_1", "a.A.test_2"]
        assert run.failure() == ""
    assert "sqlite bridge" in capsys.readouterr().err


def test_run_that_died_tells_its_last_error(make):
    perform([run := make("dies")])
    assert run.failure().startswith(
        "it died after 1 tests: ValueError: django.x has no 'y', which is to be patched"
    )


def test_run_without_tests(make):
    perform([run := make("empty")])
    assert run.failure().startswith("it ran no test")


def test_run_that_was_never_suspended(make):
    perform([run := make("never_waits")])
    assert run.failure() == "no test was suspended"


def test_run_that_is_to_serve_requests_serves_some(make):
    perform([serves := make("serves"), never := make("never_serves", "requests")])
    assert serves.failure() == ""
    assert count(serves.records)["requests"] == 3
    assert never.failure() == "no request was served"


def test_run_that_hangs_is_aborted_with_its_stacks(make, monkeypatch):
    monkeypatch.setattr(_run, "STALLED_AFTER", 4.0)
    perform([run := make("hangs")])
    assert run.failure().startswith("it died after 1 tests: Fatal Python error: Abort")
    assert "mini_suite.py" in run.log.read_text()


def test_stock_run_is_used_again(make):
    assert not make("passes").was_recorded()
    perform([make("passes")])
    assert make("passes").was_recorded()
    perform([make("dies")])
    assert not make("passes").was_recorded()
