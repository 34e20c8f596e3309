"""
Connections that are still open when it's time to drop the database.
"""

from __future__ import annotations

import json
import os
import re

import pytest
from django.db import connection

from . import outcomes

STOCK = {"sqlite": "sqlite3", "postgresql": "postgresql"}
ENGINES = [None, "stock", "stock, with a pool"]
IN_USE = "was still in use when it was time to drop it:"


def run(module, *options, engine=None):
    variables = {}
    if engine is not None:
        name = f"django.db.backends.{STOCK[connection.vendor]}"
        variables["EVERGREEN_TEST_ENGINE"] = name
    if engine == "stock, with a pool":
        if connection.vendor == "sqlite":
            pytest.skip("SQLite has no pool")
        variables["EVERGREEN_TEST_OPTIONS"] = json.dumps({"pool": True})
    outcome = outcomes.run_with(variables, module, *options)
    check_dropped(outcome)
    return outcome


def check_dropped(outcome):
    assert outcome.returncode == 0, outcome.output
    assert outcome.failed() == []
    assert "Destroying test database" in outcome.output
    if connection.vendor == "postgresql":
        with connection._nodb_cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            assert not [n for (n,) in cursor if n.startswith(f"test_{os.getpid()}_")]


HOLDERS = [
    # On this package's engine, it's closed at the end of the test.
    ("OwnExecutor", "ThreadPoolExecutor-.*", ENGINES[1:]),
    ("OwnThread", "holder", ENGINES),
    ("Copy", "MainThread", ENGINES),
]


@pytest.mark.parametrize(
    ("name", "thread", "engine"),
    [(*holder, engine) for *holder, engines in HOLDERS for engine in engines],
)
def test_holder_is_named_and_the_database_dropped(name, thread, engine):
    output = run(f"runner_ledger.{name}", engine=engine).output
    assert output.count(IN_USE) == 1
    assert re.search(
        rf"^- the thread '{thread}', by 'default', since the test "
        rf"tests.test.scenarios.runner_ledger.{name}.test_\w+\n"
        r"    opened at tests/test/scenarios/runner_ledger.py:\d+ in ",
        output,
        re.MULTILINE,
    ), output
    assert "another process" not in output


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        *(("EndedThread", engine) for engine in ENGINES),
        *(("Clean", engine) for engine in ENGINES),
        ("OwnExecutor", None),
    ],
)
def test_nobody_holds_a_connection(name, engine):
    output = run(f"runner_ledger.{name}", engine=engine).output
    assert IN_USE not in output


@pytest.mark.only("postgresql")
@pytest.mark.parametrize("engine", ENGINES)
def test_another_process_is_named(engine):
    output = run("runner_ledger.OtherProcess", engine=engine).output
    assert re.search(
        r"^- another process: the session \d+ of 'reporting', idle in transaction; "
        "last: SELECT 1 AS last_statement",
        output,
        re.MULTILINE,
    ), output


@pytest.mark.only("postgresql")
def test_clones_are_dropped_too():
    output = run("runner_ledger", "--parallel=2").output
    assert output.count("Destroying test database") == 3


def test_kept_database_is_left_alone():
    outcome = outcomes.run_with({}, "runner_ledger.OwnThread", "--keepdb")
    assert outcome.returncode == 0
    assert IN_USE not in outcome.output
    run("runner_ledger.Clean")
