"""
The database before, in and after each test.
"""

from __future__ import annotations

import pytest

from . import outcomes

WORKING = [
    "test_a_gathered_writes",
    "test_c_code_that_commits",
    "test_e_error_caught_outside_of_an_inner_block",
    "test_g_new_connections",
    "test_i_task_without_a_context",
    "test_k_statement_that_was_cancelled",
]


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
@pytest.mark.parametrize("test", WORKING)
def test_it_works_and_leaves_nothing(test, cls):
    """
    The test that follows has found no row, and the contextvars of the class.
    """
    outcome = outcomes.run("isolation")
    assert outcome.statuses(f"{cls}.{test}") == ["passed"]
    letter = test.split("_")[1]
    assert outcome.statuses(f"{cls}.test_{chr(ord(letter) + 1)}_clean") == ["passed"]


def test_deferred_constraints_are_checked_at_the_end_of_a_test():
    outcome = outcomes.run("isolation")
    test = "Rollback.test_m_deferred_constraint_is_checked_at_the_end"
    assert outcome.errors(test) == ["IntegrityError"]
    assert "_fixture_teardown" in outcome.text(test) or "check_constraints" in (
        outcome.text(test)
    )
    assert outcome.statuses("Rollback.test_n_clean") == ["passed"]


@pytest.mark.parametrize(
    "test",
    [
        "Rollback.test_o_error_without_an_inner_block",
        "Rollback.test_q_explicit_commit_is_refused",
        "Flush.test_m_explicit_commit",
        "Flush.test_o_transaction_that_is_left_open",
    ],
)
def test_django_s_rules_for_transactions_hold(test):
    assert outcomes.run("isolation").statuses(test) == ["passed"]
