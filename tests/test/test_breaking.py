"""
Tests that would break the run fail, and break nothing.
"""

from __future__ import annotations

import re

import pytest

from . import outcomes

# By test of breaking.py: its errors, and what they say.
FAILURES = {
    "test_a_exit_in_a_task": (["SystemExit"], "Raised by the task 'leaving'"),
    "test_c_exit_in_a_callback": (["SystemExit"], "has called sys.exit()"),
    "test_e_exit_in_the_body": (["SystemExit"], "SystemExit: 3"),
    "test_g_stopped_loop": ([], ""),
    "test_i_cancelled_body": (["CancelledError"], "await asyncio.sleep(0)"),
    "test_k_stubborn_task_in_a_transaction": (
        ["LeftoversFound"],
        "which ignored its cancellation, and will never be resumed",
    ),
    "test_m_coroutine_kept_alive": ([], ""),
    "test_o_generator_that_waits_for_ever": (
        ["LeftoversFound"],
        "which took too long to close",
    ),
    "test_q_generator_that_is_stubborn": (
        ["LeftoversFound"],
        "which took too long to close",
    ),
    "test_s_generator_that_raises": (
        ["ValueError", "LeftoversFound"],
        "Raised by closing <async_generator object Breaking.begin",
    ),
}


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
@pytest.mark.parametrize("test", FAILURES)
def test_it_fails_at_the_most(test, cls):
    outcome = outcomes.run("breaking")
    errors, text = FAILURES[test]
    assert outcome.errors(f"{cls}.{test}") == errors
    assert text in outcome.text(f"{cls}.{test}")


def test_the_next_one_is_clean():
    outcome = outcomes.run("breaking")
    clean = {name for name in outcome.tests if re.search("_clean$", name)}
    assert len(clean) == 20
    assert clean.isdisjoint(outcome.failed())


def test_a_coroutine_kept_from_an_earlier_test_is_blamed_on_nobody():
    """
    Nobody knows any more that it was not awaited until it's dropped: then Python's
    own warning is shown.
    """
    output = outcomes.run("breaking").output
    assert output.count("coroutine 'QuerySet.acreate' was never awaited") == 2
    assert output.count(", in test_m_coroutine_kept_alive") == 2


def test_the_run_comes_to_its_end():
    outcome = outcomes.run("breaking")
    assert outcome.returncode == 1
    assert outcome.output.rstrip().splitlines()[-1].startswith("Destroying test")
