"""
Hooks of a test and of its class: those that fail, those that are refused.
"""

from __future__ import annotations

import unittest

import pytest

from django_evergreen.test import (
    AsyncSimpleTestCase,
    AsyncTestCase,
    AsyncTransactionTestCase,
)

from . import outcomes


def of_class(outcome, name):
    """
    Return the errors of the hooks of a class, which no test is blamed for.
    """
    return [
        error["type"]
        for test, entry in outcome.tests.items()
        if test.endswith(f"{name})")
        for error in entry["errors"]
    ]


@pytest.mark.parametrize("cls", ["A1SetUpFails", "B1SetUpFails"])
def test_a_set_up_that_fails(cls):
    outcome = outcomes.run("hooks")
    for test in ("test_a", "test_b"):
        assert outcome.statuses(f"{cls}.{test}") == ["error"]
        assert outcome.errors(f"{cls}.{test}") == ["ValueError"]
        assert "ValueError: asyncSetUp" in outcome.text(f"{cls}.{test}")


@pytest.mark.parametrize(
    "cls",
    [
        "A3SetUpClassFails",
        "A5SetUpTestDataFails",
        "A7SyncSetUpTestDataFails",
        "ABTearDownClassFails",
        "ADClassCleanupFails",
    ],
)
def test_a_hook_of_a_class_that_fails_is_told_once(cls):
    assert of_class(outcomes.run("hooks"), cls) == ["ValueError"]


@pytest.mark.parametrize("cls", ["A3SetUpClassFails", "A5SetUpTestDataFails"])
def test_no_test_runs_after_a_failed_set_up_of_its_class(cls):
    tests = outcomes.run("hooks").tests
    assert [test for test in tests if test.startswith(f"{cls}.")] == []


@pytest.mark.parametrize("cls", ["A9TearDownFails", "B3TearDownFails"])
def test_a_tear_down_and_a_cleanup_that_fail(cls):
    outcome = outcomes.run("hooks")
    for test in ("test_a", "test_b_clean_before_teardown"):
        assert outcome.errors(f"{cls}.{test}") == ["ValueError", "ValueError"]
        assert "ValueError: asyncTearDown" in outcome.text(f"{cls}.{test}")
        assert "ValueError: clean-up that fails" in outcome.text(f"{cls}.{test}")


@pytest.mark.parametrize(
    "cls",
    ["A2Clean", "A4Clean", "A6Clean", "A8Clean", "AAClean", "ACClean", "AEClean"],
)
def test_the_class_after_one_that_failed_is_clean(cls):
    """
    Its test looks at the rows, and at the cleanups that were called before.
    """
    assert outcomes.run("hooks").statuses(f"{cls}.test_clean") == ["passed"]


@pytest.mark.parametrize("cls", ["B2Clean", "B4Clean"])
def test_the_class_after_one_that_failed_is_clean_after_a_flush(cls):
    assert outcomes.run("hooks").statuses(f"{cls}.test_clean") == ["passed"]


def test_contexts_are_left_in_the_task_that_entered_them():
    outcome = outcomes.run("hooks")
    test = "AFContexts.test_a_task_of_the_group_is_waited_for"
    assert outcome.statuses(test) == ["passed"]
    failed = "AFContexts.test_b_error_of_the_group"
    assert outcome.errors(failed) == ["ExceptionGroup"]
    assert "ValueError: in the group" in outcome.text(failed)
    assert outcome.statuses("AFContexts.test_c_clean") == ["passed"]


@pytest.mark.parametrize("cls", ["AGSyncTests", "B5SyncTests"])
def test_sync_tests_stand_beside_async_ones(cls):
    outcome = outcomes.run("hooks")
    assert outcome.statuses(f"{cls}.test_sync") == ["passed"]
    assert outcome.statuses(f"{cls}.test_sync_clean") == ["passed"]


def test_sync_tests_without_a_transaction_run_outside_the_loop():
    outcome = outcomes.run("hooks")
    assert outcome.statuses("CSyncTests.test_sync") == ["passed"]
    assert outcome.statuses("CSyncTests.test_async") == ["passed"]


def test_the_database_is_dropped():
    outcome = outcomes.run("hooks")
    assert outcome.output.rstrip().splitlines()[-1].startswith("Destroying test")
    assert "still in use" not in outcome.output


@pytest.mark.parametrize(
    "base", [AsyncSimpleTestCase, AsyncTestCase, AsyncTransactionTestCase]
)
@pytest.mark.parametrize(
    ("hook", "remedy"), [("setUp", "asyncSetUp"), ("tearDown", "asyncTearDown")]
)
def test_an_async_hook_by_a_sync_name_is_refused(hook, remedy, base):
    async def wrong(self):
        pass

    with pytest.raises(TypeError) as caught:
        type("Wrong", (base,), {hook: wrong})
    assert str(caught.value) == (
        f"Wrong.{hook}() is a coroutine function, which nobody would await: call it "
        f"`async def {remedy}()`."
    )


@pytest.mark.parametrize("hook", ["setUpClass", "tearDownClass"])
def test_an_async_class_hook_by_a_sync_name_is_refused(hook):
    async def wrong(cls):
        pass

    with pytest.raises(TypeError, match=rf"Wrong\.{hook}\(\) is a coroutine function"):
        type("Wrong", (AsyncTestCase,), {hook: classmethod(wrong)})


def test_an_unknown_loop_scope_is_refused():
    with pytest.raises(TypeError, match=r"'module'.*'session', 'class', 'test'"):
        type("Wrong", (AsyncTestCase,), {"loop_scope": "module"})


def test_an_unknown_policy_is_refused():
    with pytest.raises(TypeError, match=r"'forgive'.*'fail', 'wait', 'cancel'"):
        type("Wrong", (AsyncTestCase,), {"leftovers": "forgive"})


def test_async_test_that_is_run_past_its_call_is_refused():
    class Test(AsyncSimpleTestCase):
        async def test(self):
            raise AssertionError

    result = unittest.TestResult()
    Test("test").run(result)
    ((_, text),) = result.errors
    assert "call the test, `test(result)`" in text
