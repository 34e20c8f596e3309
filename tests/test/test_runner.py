"""
The runner: its options, what it tells, and Django's own options.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from . import outcomes

ALWAYS_FAILING = ["Deciding.test_slow", "Deciding.test_task"]


def test_options_of_a_class_come_first():
    outcome = outcomes.run(
        "runner_options.Deciding",
        "--leftovers=cancel",
        "--drain-timeout=20",
        "--loop-scope=test",
        "--test-timeout=20",
    )
    assert outcome.failed() == ALWAYS_FAILING
    assert outcome.errors("Deciding.test_slow") == ["TestTimeout"]
    assert outcome.errors("Deciding.test_task") == ["LeftoversFound"]


SELECTED = ("-k", "Leaving", "-k", "Loops")


def check_leftovers(outcome):
    module = "tests.test.scenarios.runner_options"
    assert sorted(outcome.leftovers) == [
        [
            f"tearDownClass ({module}.LeavingOfClass)",
            "task",
            "of the class",
            "was cancelled",
        ],
        [f"{module}.Leaving.test_task", "task", "left over", "was cancelled"],
    ]
    assert outcome.statuses("Leaving.test_clean") == ["passed"]
    assert outcome.statuses("Leaving.test_task") == ["failed"]
    text = outcome.text("Leaving.test_task")
    assert re.search(r"started at .*runner_options.py:\d+ in Leaving.test_task", text)


def test_without_options():
    outcome = outcomes.run("runner_options", *SELECTED)
    assert len(outcome.tests) == 7
    assert outcome.returncode == 1
    check_leftovers(outcome)


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def method(request):
    """
    How workers are started, if Django supports it.
    """
    outcomes.check_start_method(request.param)
    return request.param


def test_workers_know_the_options_and_tell_of_leftovers(method):
    outcome = outcomes.run(
        "runner_options", *SELECTED, "--parallel=2", start_method=method
    )
    check_leftovers(outcome)
    # As Django tells the errors of a class.
    assert outcome.statuses("LeavingOfClass.test_nothing") == ["passed", "error"]
    outcome = outcomes.run(
        "runner_options",
        "-k=Leaving",
        "-k=Loops",
        "-k=Slow",
        "--parallel=2",
        "--leftovers=cancel",
        "--loop-scope=test",
        "--test-timeout=0.1",
        start_method=method,
    )
    assert outcome.failed() == ["Loops.test_2", "Slow.test_slow"]
    assert len(outcome.leftovers) == 3


def test_existing_classes_run_unedited():
    check_adopted(outcomes.run("adopted"))


def test_existing_classes_are_adopted_in_each_worker(method):
    check_adopted(outcomes.run("adopted", "--parallel=2", start_method=method))


def check_adopted(outcome):
    assert outcome.failed() == [
        "DecoratedTests.test_expected_failure",
        "ReturningTests.test_fails",
    ], outcome.output
    assert "it was awaited" in outcome.text("ReturningTests.test_fails")
    assert outcome.statuses("DecoratedTests.test_expected_failure") == [
        "expected failure"
    ]
    assert len(outcome.tests) == 27
    assert outcome.output.count("Destroying test database") >= 1


def test_leftovers_are_cancelled():
    outcome = outcomes.run(
        "runner_options",
        "--leftovers=cancel",
        "-k",
        "Leaving",
        "-k",
        "Stubborn",
        "--cancel-timeout=0.1",
    )
    assert outcome.failed() == ["Stubborn.test_task"]


def test_leftovers_are_waited_for():
    outcome = outcomes.run("runner_options.LeavingForAWhile", "--drain-timeout=0")
    assert outcome.failed() == ["LeavingForAWhile.test_task"]
    outcome = outcomes.run("runner_options.LeavingForAWhile", "--drain-timeout=20")
    assert outcome.failed() == []


def test_timeout_of_all_tests():
    outcome = outcomes.run(
        "runner_options", "-k", "Slow", "-k", "Loops", "--test-timeout=0.1"
    )
    assert outcome.failed() == ["Slow.test_slow"]
    assert outcome.errors("Slow.test_slow") == ["TestTimeout"]


def test_loop_scope_of_all_classes():
    assert outcomes.run("runner_options.Loops").failed() == []
    outcome = outcomes.run("runner_options.Loops", "--loop-scope=test")
    assert outcome.failed() == ["Loops.test_2"]


REFUSED = {
    "AsyncSetUp": ("AsyncSetUp.setUp()", "asyncSetUp()"),
    "AsyncTearDownOfSyncTests": (
        "AsyncTearDownOfSyncTests.tearDown()",
        "asyncTearDown()",
    ),
    "Inherited": ("Inherited.setUpClass()", "asyncSetUpClass()"),
}


@pytest.mark.parametrize("options", [(), ("--parallel=2",)])
def test_hooks_that_nobody_awaits_are_refused(options):
    outcome = outcomes.run("adopted_refused", *options)
    # As unittest calls the error of a class's set-up.
    assert outcome.failed() == [f"{name})" for name in REFUSED]
    for name, (hook, remedy) in REFUSED.items():
        text = outcome.text(f"{name})")
        assert f"TypeError: {hook} is a coroutine function" in text
        assert f"call it `async def {remedy}`" in text
        assert re.search(r"It's at tests/test/scenarios/adopted_refused.py:\d+\.", text)
    assert "Ran 4 tests" in outcome.output or sys.version_info[:2] == (3, 12)


def test_leftovers_are_logged():
    for options in [(), ("--parallel=2",)]:
        outcome = outcomes.run("runner_logged", *options)
        assert outcome.output.count("logged: INFO test_task left over") == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="unittest has no durations")
@pytest.mark.parametrize("options", [(), ("--parallel=2",)])
def test_waiting_shows_among_durations(options):
    outcome = outcomes.run("runner_options", *SELECTED, "--durations=9", *options)
    waited = r"^(\d\.\d+)s +waiting for leftovers of test_task .*LeavingForAWhile"
    assert float(re.search(waited, outcome.output, re.MULTILINE)[1]) >= 0.3


# Of Django's runner.


CLASSES = ["Rollback", "Flush", "Adopted", "AdoptedFlush"]
FAILING = [arg for name in CLASSES for arg in ("-k", f"runner_django.{name}.test_")]


def test_debug_sql():
    outcome = outcomes.run("runner_django", *FAILING, "--debug-sql")
    for name in CLASSES:
        for test, of in (
            ("1_async", "the body"),
            ("2_in_a_task", "a task"),
            ("3_sync", "sync code"),
            ("4_subtests) (number=2", "subtest 2"),
        ):
            _, _, report = outcome.output.partition(
                f": test_{test.partition(')')[0]} (tests.test.scenarios."
                f"runner_django.{name}.test_{test}"
            )
            report, _, _ = report.partition("\n=====")
            assert f"of {of}" in report, outcome.output
            assert "SELECT" in report


def test_subtests_and_errors_are_pickled(method):
    serial = outcomes.run("runner_django", *FAILING)
    outcome = outcomes.run(
        "runner_django", *FAILING, "--parallel=2", start_method=method
    )
    assert len(outcome.tests) == 16
    for test, entry in serial.tests.items():
        assert outcome.statuses(test) == entry["statuses"]
        assert outcome.errors(test) == serial.errors(test)
    assert serial.statuses("Rollback.test_4_subtests") == ["subtest failed"] * 2


def test_failfast():
    outcome = outcomes.run("runner_django", "-k", "Rollback", "--failfast")
    assert list(outcome.tests) == [
        "KeptRollback.test_is_clean",
        "Rollback.test_1_async",
    ]


def test_order():
    shuffled = list(outcomes.run("runner_django", *FAILING, "--shuffle=3").tests)
    plain = list(outcomes.run("runner_django", *FAILING).tests)
    assert shuffled != plain
    assert sorted(shuffled) == sorted(plain)
    reverse = outcomes.run("runner_django", "-k", "Rollback.", "--reverse").tests
    assert list(reverse) == list(
        reversed(outcomes.run("runner_django", "-k", "Rollback.").tests)
    )


def test_tags():
    outcome = outcomes.run("runner_django", *FAILING, "--tag=slow")
    assert sorted(outcome.tests) == sorted(f"{name}.test_3_sync" for name in CLASSES)
    outcome = outcomes.run("runner_django", *FAILING, "--exclude-tag=slow")
    assert len(outcome.tests) == 12


def test_debug_method():
    outcome = outcomes.run("runner_django.Debug")
    assert outcome.failed() == []
    assert len(outcome.tests) == 2


@pytest.mark.parametrize("name", CLASSES)
def test_pdb(tmp_path, name):
    process = outcomes.start(
        f"runner_django.{name}.test_1_async",
        "--pdb",
        file=tmp_path / "outcome.json",
        stdin=subprocess.PIPE,
    )
    process.stdin.write("p local.upper()\ncontinue\n")
    outcome = outcomes.finish(process, tmp_path / "outcome.json", time.monotonic())
    assert "Opening PDB: ZeroDivisionError" in outcome.output
    assert "'A LOCAL VARIABLE'" in outcome.output
    assert outcome.statuses(f"{name}.test_1_async") == ["error"]
    assert "Destroying test database" in outcome.output


@pytest.mark.parametrize("options", [(), ("--parallel=2",)])
def test_keepdb_leaves_it_clean(tmp_path, options):
    for _ in range(2):
        outcome = outcomes.run_with(
            {}, "runner_django", "-k", "Kept", "--keepdb", *options
        )
        assert outcome.failed() == []
        assert len(outcome.tests) == 2
        assert "Preserving test database" in outcome.output
    assert "Using existing" in outcome.output
    # For the databases to be removed.
    assert outcomes.run_with({}, "runner_django", "-k", "Kept", *options).failed() == []
