"""
Event loops: how long they live, who makes them, what lives in them.
"""

from __future__ import annotations

import importlib.util

import pytest

from . import outcomes

CLASSES = [
    "OfSession1",
    "OfSession2",
    "OfSession3",
    "OfClass1",
    "OfClass2",
    "OfTest1",
    "OfTest2",
    "OfFactory",
]


@pytest.mark.parametrize("cls", CLASSES)
def test_tests_run_and_are_isolated_in_each_kind_of_loop(cls):
    outcome = outcomes.run("loops")
    assert outcome.statuses(f"{cls}.test_a") == ["passed"]
    assert outcome.statuses(f"{cls}.test_b") == ["passed"]


@pytest.mark.parametrize(
    "test",
    [
        "test_session",
        "test_class",
        "test_test",
        "test_factory",
        "test_debug_mode_is_that_of_python",
    ],
)
def test_a_loop_is_kept_as_long_as_its_scope_says(test):
    assert outcomes.run("loops").statuses(f"Seen.{test}") == ["passed"]


@pytest.mark.skipif(
    importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed"
)
def test_uvloop():
    outcome = outcomes.run("loops")
    for test in ("OfUvloop.test_a", "OfUvloop.test_b", "OfUvloopFlush.test_a"):
        assert outcome.statuses(test) == ["passed"]
    test = "OfUvloop.test_c_forgotten_task"
    assert outcome.errors(test) == ["LeftoversFound"]
    assert "task 'forgotten', sleep(), which was cancelled" in outcome.text(test)
    assert outcome.statuses("OfUvloop.test_d_clean") == ["passed"]


@pytest.mark.parametrize("cls", ["ClientInLoopOfSession", "ClientInLoopOfClass"])
def test_a_client_of_the_class_serves_all_of_its_tests(cls):
    outcome = outcomes.run("loops")
    for test in ("test_a", "test_b", "test_d_clean"):
        assert outcome.statuses(f"{cls}.{test}") == ["passed"]
    test = f"{cls}.test_c_task_of_a_test_is_still_found"
    assert outcome.errors(test) == ["LeftoversFound"]
    assert "left over 1 thing" in outcome.text(test)
    assert "task 'of the test'" in outcome.text(test)


@pytest.mark.parametrize("test", ["b_queue", "c_future", "d_closed_loop"])
def test_an_error_about_another_loop_names_the_test_it_belongs_to(test):
    outcome = outcomes.run("loops")
    assert outcome.errors(f"QueueOfModule.test_{test}") == ["RuntimeError"]
    (note,) = [
        line
        for line in outcome.text(f"QueueOfModule.test_{test}").splitlines()
        if line.startswith("It belongs to the event loop of ")
    ]
    assert "the test tests.test.scenarios.loops.QueueOfModule.test_a. For" in note
    assert "LoopLocal" in note


def test_other_errors_say_nothing_about_loops():
    text = outcomes.run("loops").text("QueueOfModule.test_e_another_error")
    assert "about a different loop" in text
    assert "It belongs to" not in text
