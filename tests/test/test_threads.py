"""
Threads that go on after their test: they get no connection any more.
"""

from __future__ import annotations

import pytest

from . import outcomes
from .places import place

THREADS = [
    "test_a_first_query_is_late",
    "test_c_second_query_is_late",
    "test_e_late_in_a_transaction",
]


@pytest.mark.parametrize("cls", ["ThreadsOfRollback", "ThreadsOfFlush"])
@pytest.mark.parametrize("test", THREADS)
def test_a_thread_that_goes_on_gets_no_connection_any_more(test, cls):
    """
    The test after it has let the thread go on, and found its statement refused.
    """
    outcome = outcomes.run("threads")
    assert outcome.errors(f"{cls}.{test}") == ["LeftoversFound"]
    text = outcome.text(f"{cls}.{test}")
    assert "thread 'async test main thread 0'" in text
    assert "which could not be stopped" in text
    assert place("threads", 'name="in a thread"') in text


@pytest.mark.parametrize("cls", ["ThreadsOfRollback", "ThreadsOfFlush"])
def test_a_thread_that_knows_no_test_gets_no_connection_either(cls):
    outcome = outcomes.run("threads")
    test = f"{cls}.test_k_plain_thread"
    assert outcome.errors(test) == ["LeftoversFound"]
    assert "thread 'plain'" in outcome.text(test)
    assert place("threads", "self.may_go_on.wait(20)  # plain") in outcome.text(test)
    assert outcome.statuses(f"{cls}.test_l_clean") == ["passed"]


@pytest.mark.parametrize("cls", ["ThreadsOfRollback", "ThreadsOfFlush"])
def test_a_thread_at_the_database_ends_with_its_statement(cls):
    text = outcomes.run("threads").text(f"{cls}.test_g_in_a_query")
    assert "which ended when its statement was cancelled" in text
    assert place("leaks", "cursor.execute(ENDLESS") in text
    assert "at the database: " in text


@pytest.mark.parametrize("cls", ["ThreadsOfRollback", "ThreadsOfFlush"])
def test_an_executor_of_the_users_own_is_no_leftover(cls):
    """
    Its connection is closed: the database can be flushed and dropped.
    """
    outcome = outcomes.run("threads")
    assert outcome.statuses(f"{cls}.test_i_executor_of_ones_own") == ["passed"]


def test_the_database_is_dropped_by_django_s_own_runner():
    """
    Which minds connections that threads have left open.
    """
    runner = ("--testrunner", "django.test.runner.DiscoverRunner")
    lines = outcomes.run("threads", *runner).output.rstrip().splitlines()
    assert lines[-1].startswith("Destroying test database for alias")
    assert lines[-2].startswith("FAILED (")
