"""
What a class lets its tests leave over.
"""

from __future__ import annotations

import pytest

from . import outcomes

ALL = ["WaitAndRollBack", "WaitAndFlush", "FailAndRollBack"]
WRITERS = [
    "test_a_task_that_writes",
    "test_c_chain_of_tasks",
    "test_e_thread_that_writes",
    "test_g_timer",
]


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("test", WRITERS)
def test_what_ends_in_time_is_waited_for_before_the_database_is_reset(test, cls):
    """
    The next test has seen that it came to its end, and none of its rows.
    """
    outcome = outcomes.run("policies")
    assert outcome.statuses(f"{cls}.{test}") == ["passed"]
    letter = chr(ord(test.split("_")[1]) + 1)
    assert outcome.statuses(f"{cls}.test_{letter}_clean") == ["passed"]


def test_what_is_waited_for_in_vain_is_cancelled():
    outcome = outcomes.run("policies")
    assert outcome.statuses("WaitInVain.test_a_task") == ["passed"]
    assert outcome.statuses("WaitInVain.test_b_clean") == ["passed"]
    leftover = ["task", "endless", "was cancelled"]
    test = "tests.test.scenarios.policies.WaitInVain.test_a_task"
    assert [test, *leftover] in outcome.leftovers


def test_what_cannot_be_stopped_fails_the_test_in_any_case():
    outcome = outcomes.run("policies")
    test = "WaitInVain.test_c_stubborn_task"
    assert outcome.errors(test) == ["LeftoversFound"]
    assert "ignored its cancellation" in outcome.text(test)
    assert outcome.statuses("WaitInVain.test_d_clean") == ["passed"]


def test_an_error_fails_the_test_in_any_case():
    outcome = outcomes.run("policies")
    assert outcome.errors("WaitInVain.test_e_failing_task") == ["ValueError"]
    assert outcome.statuses("WaitInVain.test_f_clean") == ["passed"]


def test_leftovers_may_just_be_cancelled():
    outcome = outcomes.run("policies")
    assert outcome.statuses("Cancel.test_a_task") == ["passed"]
    assert outcome.statuses("Cancel.test_b_clean") == ["passed"]


def test_a_coroutine_that_never_ran_fails_the_test_in_any_case():
    outcome = outcomes.run("policies")
    test = "Cancel.test_c_coroutine_never_awaited"
    assert outcome.errors(test) == ["LeftoversFound"]
    assert "coroutine 'QuerySet.acreate', which was never awaited" in outcome.text(test)


@pytest.mark.parametrize(
    "test",
    [
        "test_a_by_name",
        "test_b_by_coroutine",
        "test_c_by_creating_module",
        "test_d_by_creating_function",
    ],
)
def test_what_is_allowed_goes_on(test):
    """
    In the next test, which checks it.
    """
    assert outcomes.run("policies").statuses(f"Allowing.{test}") == ["passed"]


def test_what_is_not_allowed_does_not():
    outcome = outcomes.run("policies")
    test = "Allowing.test_e_not_on_the_list"
    assert outcome.errors(test) == ["LeftoversFound"]
    assert "left over 1 thing" in outcome.text(test)
    assert "task 'not listed'" in outcome.text(test)
    assert outcome.statuses("Allowing.test_f_clean") == ["passed"]


@pytest.mark.parametrize("test", ["test_a_thread_of_executor", "test_b_plain_thread"])
def test_threads_can_be_allowed(test):
    assert outcomes.run("policies").statuses(f"AllowingThreads.{test}") == ["passed"]


def test_a_task_that_is_allowed_may_query():
    outcome = outcomes.run("policies")
    for test in ("test_a_task_goes_on", "test_b_task_goes_on"):
        assert outcome.statuses(f"AllowedTaskAndDatabase.{test}") == ["passed"]
