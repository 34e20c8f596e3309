"""
What a test has left over: it fails that test, and the next one finds nothing of it.
"""

from __future__ import annotations

import re

import pytest

from . import outcomes
from .places import place

MODULES = ["leaks", "background", "threads", "policies", "isolation"]

AWAIT = "Await it in the test, or cancel it and await it."
WAIT = "Wait for it in the test: a thread can't be stopped."

# By test of leaks.py: what runs there, where it was started and what came of it.
MISTAKES = {
    "test_01_forgotten_task": (
        "task 'forgotten', sleep_for_ever(), which was cancelled",
        place("leaks", 'name="forgotten"'),
        AWAIT,
    ),
    "test_05_task_in_a_query": (
        "task 'querying', run_sync(), which was cancelled",
        place("leaks", 'name="querying"'),
        place("leaks", "cursor.execute(ENDLESS"),
        "at the database: ",
        AWAIT,
    ),
    "test_11_coroutine_never_awaited": (
        "coroutine 'QuerySet.acreate', which was never awaited",
        place("leaks", '        Author.objects.acreate(name="x")'),
        "Write `await` before the call.",
    ),
    "test_13_coroutine_never_awaited_in_a_cycle": (
        "coroutine 'QuerySet.acreate', which was never awaited",
        place("leaks", "cycle = ["),
    ),
    "test_15_generator_never_closed": (
        "async generator 'count_up', which was closed",
        place("leaks", "in generator:"),
        place("leaks", "yield 1"),
        "`async with contextlib.aclosing(generator):`",
    ),
    "test_17_timer": (
        "timer 'call_at(), due in 3",
        "query_endlessly(), which was removed",
        # As -X dev makes asyncio note it.
        place("leaks", "call_later(3600"),
        place("leaks", "def query_endlessly"),
        "Call cancel() on what call_later() or call_at() has returned.",
    ),
    "test_25_transaction_after_the_end": (
        "task 'late'",
        place("leaks", "create_task(write_later()"),
        AWAIT,
    ),
    "test_31_reader": (
        "reader 'add_reader() of descriptor ",
        place("leaks", "loop.add_reader"),
        "reader 'add_writer() of descriptor ",
        place("leaks", "loop.add_writer"),
        "Call remove_reader() or remove_writer() for its descriptor.",
    ),
}
UNSTOPPABLE = {
    "test_07_stubborn_task": (
        "task 'stubborn', be_stubborn(), which ignored its cancellation",
        "and will never be resumed",
        place("leaks", 'name="stubborn"'),
        place("leaks", "await asyncio.sleep(1)"),
        AWAIT,
    ),
    "test_19_thread_that_does_not_end": (
        "thread 'async test main thread 0'",
        "which could not be stopped",
        place("leaks", 'name="in a thread"'),
        place("leaks", "may_end.wait("),
        WAIT,
    ),
    "test_21_default_executor": (
        "thread 'async test thread 0', sleep(), which could not be stopped",
        place("leaks", "run_in_executor"),
        WAIT,
    ),
    "test_23_plain_thread": (
        "thread 'Thread-",
        "sleep(), which could not be stopped",
        WAIT,
    ),
}


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_fails_its_test_and_is_described(mistake, cls):
    check_report(f"{cls}.{mistake}", MISTAKES[mistake])


@pytest.mark.parametrize("cls", ["UnstoppableInRollback", "UnstoppableInFlush"])
@pytest.mark.parametrize("mistake", UNSTOPPABLE)
def test_what_cannot_be_stopped_is_left_behind(mistake, cls):
    check_report(f"{cls}.{mistake}", UNSTOPPABLE[mistake])


def check_report(test, texts):
    outcome = outcomes.run("leaks")
    assert outcome.statuses(test) == ["failed"]
    assert outcome.errors(test) == ["LeftoversFound"]
    text = outcome.text(test)
    assert f"The test tests.test.scenarios.leaks.{test} left over" in text
    for expected in texts:
        assert expected in text


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
def test_an_error_that_nobody_has_seen_fails_the_test_it_comes_from(cls):
    outcome = outcomes.run("leaks")
    test = f"{cls}.test_03_failed_task"
    assert outcome.statuses(test) == ["error"]
    assert outcome.errors(test) == ["ValueError"]
    text = outcome.text(test)
    assert place("leaks", 'raise ValueError("in the background")').split(":")[0] in text
    assert "Raised by the task 'failing', started at " in text
    assert place("leaks", 'name="failing"') in text


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
def test_an_error_in_a_callback_fails_the_test(cls):
    outcome = outcomes.run("leaks")
    test = f"{cls}.test_27_callback_that_fails"
    assert outcome.statuses(test) == ["error"]
    assert outcome.errors(test) == ["ZeroDivisionError"]
    assert "Reported by the event loop: Exception in callback" in outcome.text(test)


@pytest.mark.parametrize("cls", ["UnstoppableInRollback", "UnstoppableInFlush"])
def test_tasks_that_start_others_for_ever_are_stopped(cls):
    outcome = outcomes.run("leaks")
    test = f"{cls}.test_09_task_that_starts_others"
    assert "LeftoversFound" in outcome.errors(test)
    text = outcome.text(test)
    assert "task 'first', start_others(), which was cancelled" in text
    assert place("leaks", 'name="first"') in text
    # One entry for those that waited, one for the last, which had not begun.
    assert text.count("task 'another', start_others(), which was cancelled") <= 2
    assert " more like this" in text


@pytest.mark.parametrize("module", MODULES)
def test_the_test_after_a_mistake_is_clean(module):
    outcome = outcomes.run(module)
    clean = {name for name in outcome.tests if re.search("_clean(_|$)", name)}
    assert len(clean) > 10
    assert clean.isdisjoint(outcome.failed())


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_said_at_the_end_of_the_run(module):
    """
    No warning of Python's development mode, and no database that was still in use.
    """
    outcome = outcomes.run(module)
    _, end = outcome.output.rsplit("\nFAILED (", 1)
    assert [
        line for line in end.splitlines()[1:] if "Destroying test" not in line
    ] == []
    assert "Warning" not in outcome.output
    assert "never retrieved" not in outcome.output


@pytest.mark.parametrize("cls", ["TaskOfRollbackClass", "TaskOfFlushClass"])
def test_a_task_of_the_class_works_for_each_test(cls):
    outcome = outcomes.run("background")
    assert [outcome.statuses(f"{cls}.test_{n}") for n in "abc"] == [["passed"]] * 3


def test_a_task_that_a_class_has_left_over_is_blamed_on_the_class():
    outcome = outcomes.run("background")
    assert outcome.statuses("ForgottenByClass.test_a") == ["passed"]
    assert outcome.statuses("ForgottenByClass.test_b") == ["passed"]
    (text,) = [
        error["text"]
        for name, entry in outcome.tests.items()
        if name.endswith("ForgottenByClass)")
        for error in entry["errors"]
    ]
    assert "The class tests.test.scenarios.background.ForgottenByClass left" in text
    assert "task 'of the class', send_receipt(), which was cancelled" in text
    assert place("background", 'name="of the class"') in text


TASKS = {
    "test_a_in_a_transaction": "in transaction",
    "test_c_writes_when_it_is_cancelled": "writes at the end",
    "test_e_in_a_context_of_its_own": "no context",
    "test_g_of_a_cleanup": "of cleanup",
}


@pytest.mark.parametrize("cls", ["TasksOfRollback", "TasksOfFlush"])
@pytest.mark.parametrize("test", TASKS)
def test_a_task_is_found_wherever_it_was_started(test, cls):
    outcome = outcomes.run("background")
    assert outcome.errors(f"{cls}.{test}") == ["LeftoversFound"]
    text = outcome.text(f"{cls}.{test}")
    assert f"task '{TASKS[test]}'" in text
    assert place("background", f'name="{TASKS[test]}"') in text


@pytest.mark.parametrize("cls", ["TasksOfRollback", "TasksOfFlush"])
def test_leftovers_are_told_besides_the_failure_of_the_test(cls):
    outcome = outcomes.run("background")
    test = f"{cls}.test_i_failed_test_with_a_leftover"
    assert outcome.errors(test) == ["AssertionError", "LeftoversFound"]


@pytest.mark.parametrize("cls", ["TasksOfRollback", "TasksOfFlush"])
@pytest.mark.parametrize(
    "test",
    [
        "test_k_error_that_was_seen_is_clean",
        "test_l_coroutine_that_is_kept_is_clean",
        "test_m_callback_on_commit",
    ],
)
def test_what_is_no_mistake_fails_nothing(test, cls):
    assert outcomes.run("background").statuses(f"{cls}.{test}") == ["passed"]
