"""
What a report says about each thing that was left over.
"""

from __future__ import annotations

import pickle
import sys

import django
import pytest
from django.db import connection

from django_evergreen.test import Leftover, LeftoversFound
from django_evergreen.test._report import MAX_SQL, describe, report
from django_evergreen.test._sites import Site

from . import outcomes
from .places import place

SITE = Site("/project/shop/views.py", 12, "pay", "redis.client.connect", "GET /pay/")


def leftover(**changes):
    fields = {
        "kind": "task",
        "name": "receipt",
        "function": "send_receipt",
        "created_at": SITE,
        "outcome": "was cancelled",
    }
    return Leftover(**fields | changes)


@pytest.mark.parametrize(
    ("test", "request_line"),
    [
        ("test_a_async_client", "in the request GET /pay/?order=1"),
        ("test_c_sync_client", "in the request POST /pay/"),
        pytest.param(
            "test_g_below_middleware_in_a_thread",
            "in the request GET /pay/",
            marks=pytest.mark.skipif(
                django.VERSION < (6, 1), reason="no context of the request"
            ),
        ),
        ("test_i_sync_test", "in the request GET /pay/"),
    ],
)
def test_it_names_the_request_of_a_view_that_does_not_wait(test, request_line):
    text = outcomes.run("background").text(f"Views.{test}")
    assert "task 'receipt', send_receipt(), which was cancelled" in text
    assert request_line in map(str.strip, text.splitlines())
    assert place("shop", 'name="receipt"') in text
    assert place("shop", "await asyncio.sleep(3600)  # receipt") in text


def test_it_names_the_request_that_is_still_in_a_view():
    text = outcomes.run("background").text("Views.test_e_request_in_flight")
    assert "task 'client'" in text
    assert "in the request GET /wait/" in text
    assert place("background", 'name="client"') in text
    assert place("shop", "await asyncio.sleep(3600)  # payment") in text


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
def test_it_shows_the_statement(cls):
    text = outcomes.run("leaks").text(f"{cls}.test_05_task_in_a_query")
    statements = {"postgresql": "SELECT pg_sleep(1000)", "sqlite": "WITH RECURSIVE"}
    assert f"at the database: {statements[connection.vendor]}" in text


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="a task doesn't tell its context before 3.12"
)
@pytest.mark.parametrize("cls", ["TasksOfRollback", "TasksOfFlush"])
def test_it_shows_the_transaction(cls):
    text = outcomes.run("background").text(f"{cls}.test_a_in_a_transaction")
    entered_at = place("background", "# held").removesuffix(" in ")
    assert f"{entered_at} by the task 'in transaction' on 'default'" in text
    assert "    in the atomic() block entered at " in text


def test_it_is_also_data():
    """
    Of the runner's result, in the order of the tests.
    """
    leftovers = outcomes.run("background").leftovers
    prefix = "tests.test.scenarios.background"
    assert [
        f"{prefix}.TasksOfFlush.test_c_writes_when_it_is_cancelled",
        "task",
        "writes at the end",
        "was cancelled, and ended in its own way",
    ] in leftovers
    assert [
        f"tearDownClass ({prefix}.ForgottenByClass)",
        "task",
        "of the class",
        "was cancelled",
    ] in leftovers


def test_lines_about_one():
    found = leftover(
        waits_at=Site("/project/shop/mail.py", 7, "send"),
        age=1.2345,
        sql="SELECT 1",
        transaction="the atomic() block entered at /project/shop/mail.py:5",
    )
    assert describe(found).splitlines() == [
        "- task 'receipt', send_receipt(), which was cancelled",
        "    started at /project/shop/views.py:12 in pay",
        "    in the request GET /pay/",
        "    it was at /project/shop/mail.py:7 in send, 1.23 s after its start",
        "    at the database: SELECT 1",
        "    in the atomic() block entered at /project/shop/mail.py:5",
        "    Await it in the test, or cancel it and await it.",
    ]


def test_a_long_statement_is_cut():
    text = describe(leftover(sql="SELECT " + "x" * 1000))
    (line,) = [line for line in text.splitlines() if "SELECT" in line]
    assert line.endswith("x...")
    assert len(line) < MAX_SQL + 30


def test_those_of_one_line_are_one_entry():
    found = [leftover(name=f"receipt {n}") for n in range(5)]
    text = report("The test t", [*found, leftover(created_at=None)])
    head, *lines = text.splitlines()
    assert head == "The test t left over 6 things that were still running or open:"
    assert [line for line in lines if line.startswith("- ")] == [
        "- task 'receipt 0', send_receipt(), which was cancelled",
        "- task 'receipt', send_receipt(), which was cancelled",
    ]
    assert lines[4] == "    and 4 more like this"


def test_one_is_a_thing_that_was():
    assert "1 thing that was still" in report("The test t", [leftover()])


@pytest.mark.parametrize(
    "pattern",
    ["receipt", "rec*", "send_*", "pay", "redis.client.connect", "redis.*"],
)
def test_patterns_match_its_name_its_function_and_who_has_started_it(pattern):
    assert leftover().matches(["other", pattern])


@pytest.mark.parametrize("pattern", ["", "receip", "client.connect", "RECEIPT", "*x"])
def test_other_patterns_do_not_match(pattern):
    assert not leftover(function="").matches([pattern])


def test_its_fingerprint_stays_when_lines_move():
    moved = leftover(created_at=SITE._replace(line=99), age=3.0)
    assert moved.fingerprint == leftover().fingerprint
    assert leftover(function="other").fingerprint != leftover().fingerprint


def test_the_error_and_what_it_is_about_can_be_pickled():
    error = LeftoversFound("The test t left over ...", [leftover()])
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert copy.leftovers == [leftover()]
