"""
Django's helpers in async tests; C37 to C40.
"""

from __future__ import annotations

import pytest

from . import outcomes
from .test_cases import vendor


def failures(outcome):
    return {name: outcome.statuses(name) for name in outcome.failed()}


def test_number_of_queries_is_of_all_tasks_threads_and_connections():
    outcome = outcomes.run("queries")
    # What comes after it in the module finds nothing left of the block.
    broken_off = "BrokenOff.test_a_timeout_in_a_block"
    assert failures(outcome) == {broken_off: ["failed"]}
    assert outcome.errors(broken_off) == ["TestTimeout"]
    assert len(outcome.tests) == 37


def test_commit_callbacks_of_all_tasks_and_threads_are_awaited():
    outcome = outcomes.run("commit_callbacks")
    assert failures(outcome) == {}
    assert len(outcome.tests) == 12


@pytest.mark.parametrize("options", [(), ("--parallel", "2")])
def test_settings_subtests_and_assertions(options):
    outcome = outcomes.run("assertions", *options)
    failing = "test_subtests_that_fail"
    assert failures(outcome) == {
        f"{cls}.{failing}": ["subtest failed"] * 2 for cls in ("Rollback", "Flush")
    }
    assert "(name='a')" in outcome.output
    assert "(name='b')" not in outcome.output
    assert len(outcome.tests) == 44


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
def test_the_same_on_the_stock_engine(cls):
    engine = f"django.db.backends.{vendor()}"
    outcome = outcomes.run(f"queries.Async{cls}.test_statements", engine=engine)
    assert failures(outcome) == {}
    assert len(outcome.tests) == 1
    outcome = outcomes.run(f"assertions.{cls}", engine=engine)
    assert outcome.failed() == [f"{cls}.test_subtests_that_fail"]
