"""
Ctrl-C in the middle of a run.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time

import pytest
from django.db import connection

from . import outcomes

# Seconds from Ctrl-C to the end of the process.
LIMIT = 2.0


@contextlib.contextmanager
def running(directory, name, *options, **popen):
    """
    A run that is in the middle of a test, killed if it's not at its end at last.
    """
    process = outcomes.start(
        f"runner_interrupted.{name}",
        *options,
        file=directory / "outcome.json",
        stdin=subprocess.PIPE,
        **popen,
    )
    try:
        read_until(process, "in the body")
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process, text):
    read = []
    for line in process.stdout:
        read.append(line)
        if text in line:
            return "".join(read)
    raise AssertionError(f"{text!r} was never printed:\n{''.join(read)}")


def finish(process, directory):
    outcome = outcomes.finish(process, directory / "outcome.json", time.monotonic())
    assert outcome.duration < LIMIT, outcome.output
    assert outcome.returncode != 0, outcome.output
    return outcome


def databases():
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE 'test_%'")
        return [name for (name,) in cursor]


@pytest.mark.parametrize("name", ["Rollback", "Flush"])
def test_cancels_the_body_and_cleans_up(tmp_path, name):
    with running(tmp_path, name) as process:
        os.kill(process.pid, signal.SIGINT)
        outcome = finish(process, tmp_path)
    assert re.findall(r"\* (.*)", outcome.output) == [
        "cancelled",
        "tear-down",
        "cleanup, after a query",
        f"reset, in a transaction: {name == 'Rollback'}",
        "class cleanup",
    ]
    assert "another test" not in outcome.output
    test = f"{name}.test_1_waits"
    assert outcome.errors(test) == ["CancelledError"]
    assert "Ctrl-C was pressed." in outcome.text(test)
    assert "FAILED (errors=1)" in outcome.output
    assert "Destroying test database" in outcome.output


@pytest.mark.only("postgresql")
@pytest.mark.parametrize("name", ["Rollback", "InHook"])
def test_drops_the_database(tmp_path, name):
    with running(tmp_path, name) as process:
        assert f"test_{os.getpid()}_child_default" in databases()
        os.kill(process.pid, signal.SIGINT)
        finish(process, tmp_path)
    assert f"test_{os.getpid()}_child_default" not in databases()


def test_in_a_hook_of_a_class(tmp_path):
    with running(tmp_path, "InHook") as process:
        os.kill(process.pid, signal.SIGINT)
        outcome = finish(process, tmp_path)
    assert "another test" not in outcome.output
    assert "KeyboardInterrupt" in outcome.output
    assert "Destroying test database" in outcome.output


def test_second_one_exits_at_once(tmp_path):
    with running(tmp_path, "Stubborn") as process:
        os.kill(process.pid, signal.SIGINT)
        read_until(process, "cancelled")
        os.kill(process.pid, signal.SIGINT)
        outcome = finish(process, tmp_path)
    assert outcome.returncode == 130
    assert "Interrupted again: exiting at once." in outcome.output


def test_sync_test_is_ended_as_by_django(tmp_path):
    with running(tmp_path, "Sync") as process:
        os.kill(process.pid, signal.SIGINT)
        process.stdin.write("\n")
        process.stdin.flush()
        outcome = finish(process, tmp_path)
    assert outcome.statuses("Sync.test_1") == ["passed"]
    assert "another test" not in outcome.output
    assert "Destroying test database" in outcome.output


def test_workers_of_parallel_are_ended(tmp_path):
    options = ("--parallel=2", "tests.test.scenarios.runner_interrupted.Flush")
    with running(tmp_path, "Rollback", *options, process_group=0) as process:
        os.killpg(process.pid, signal.SIGINT)
        outcome = finish(process, tmp_path)
    assert "Destroying test database" in outcome.output
