"""
Tests that take too long, and clocks that stand still.
"""

from __future__ import annotations

import pytest
from django.db import connection

from . import outcomes
from .places import place

# By test of timeouts.py: what its report shows.
TOO_LONG = {
    "test_a_waits": ("The test was at:", "The task 'beside' was at:", "wait_for_ever"),
    "test_c_stubborn": ("The test was at:", "in test_c_stubborn"),
    "test_d_stubborn_in_a_transaction": ("in test_d_stubborn_in_a_transaction",),
    "test_e_query": ("in query_endlessly", "  at the database: "),
    "test_g_thread": (
        "in test_g_thread",
        "The thread 'async test main thread 0' was at:",
        "in query_endlessly",
        "  at the database: ",
    ),
    "test_i_cleans_up_in_time": ("in test_i_cleans_up_in_time",),
    "test_k_swallows_its_cancellation": ("in test_k_swallows_its_cancellation",),
}


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
@pytest.mark.parametrize("test", TOO_LONG)
def test_a_test_that_takes_too_long_fails_with_all_stacks(test, cls):
    outcome = outcomes.run("timeouts")
    assert outcome.errors(f"{cls}.{test}")[0] == "TestTimeout"
    text = outcome.text(f"{cls}.{test}")
    assert "TestTimeout: The test took longer than 0.2 s." in text
    for expected in TOO_LONG[test]:
        assert expected in text


def test_the_stacks_show_the_lines_of_the_user_and_the_statement():
    text = outcomes.run("timeouts").text("Rollback.test_e_query")
    where = place("leaks", "cursor.execute(ENDLESS").removesuffix(" in ")
    file, line = where.split(":")
    assert f'{file}", line {line}, in query_endlessly' in text
    statements = {"postgresql": "SELECT pg_sleep(1000)", "sqlite": "WITH RECURSIVE"}
    assert f"  at the database: {statements[connection.vendor]}" in text
    # None of the toolkit's own.
    _, stacks = text.split("The test was at:")
    assert "django_evergreen/" not in stacks


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
def test_only_that_test_fails(cls):
    """
    The tests between them have found the rows of the class, and no others.
    """
    outcome = outcomes.run("timeouts")
    clean = [n for n in outcome.tests if n.startswith(f"{cls}.") and "clean" in n]
    assert len(clean) >= 8
    assert set(clean).isdisjoint(
        set(outcome.failed()) - {f"{cls}.{t}" for t in TOO_LONG}
    )


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
def test_a_method_can_have_its_own_limit(cls):
    outcome = outcomes.run("timeouts")
    assert outcome.statuses(f"{cls}.test_m_no_limit") == ["passed"]
    text = outcome.text(f"{cls}.test_n_limit_of_the_method")
    assert "TestTimeout: The test took longer than 0.01 s." in text


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
def test_a_timeout_of_the_tests_own_is_another_one(cls):
    outcome = outcomes.run("timeouts")
    assert outcome.statuses(f"{cls}.test_o_own_timeout") == ["passed"]


def test_sync_code_in_the_bridge_is_broken_off():
    text = outcomes.run("timeouts").text("Rollback.test_q_sync_code_in_the_bridge")
    assert "TestTimeout: The test took longer than 0.2 s." in text
    assert "in test_q_sync_code_in_the_bridge" in text


@pytest.mark.parametrize(
    "test", ["a_freezegun", "b_time_machine", "c_inside", "d_clean"]
)
def test_waits_end_while_the_clock_stands_still(test):
    outcome = outcomes.run("timeouts")
    assert outcome.statuses(f"FrozenClocks.test_{test}") == ["passed"]


@pytest.mark.parametrize("cls", ["FrozenClass", "TravellingClass"])
def test_the_end_of_a_test_comes_while_the_clock_stands_still(cls):
    outcome = outcomes.run("timeouts")
    assert outcome.errors(f"{cls}.test_a_leftover") == ["LeftoversFound"]
    assert outcome.statuses(f"{cls}.test_b_short_task") == ["passed"]


def test_a_time_limit_holds_while_the_clock_stands_still():
    outcome = outcomes.run("timeouts")
    assert outcome.errors("FrozenClass.test_c_timeout") == ["TestTimeout"]
