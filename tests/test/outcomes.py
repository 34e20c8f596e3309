"""
Runs a scenario module in a process of its own, and tells what came of its tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import django
import pytest
from django.db import connection

REPOSITORY = Path(__file__).parent.parent.parent

# Seconds for a run. None may hang.
DEADLINE = 60


@dataclass(frozen=True)
class Outcome:
    """
    What the runner has said.
    """

    # By "Class.test": statuses and errors; see child.py.
    tests: dict
    leftovers: list
    output: str
    returncode: int
    # Seconds.
    duration: float

    def statuses(self, test):
        return self.tests[test]["statuses"]

    def text(self, test):
        return "\n".join(error["text"] for error in self.tests[test]["errors"])

    def errors(self, test):
        return [error["type"] for error in self.tests[test]["errors"]]

    def failed(self):
        return sorted(
            name
            for name, entry in self.tests.items()
            if entry["statuses"] not in (["passed"], ["skipped"])
        )


def command(module, *options):
    labels = [f"tests.test.scenarios.{module}"] if module else []
    python = (sys.executable, "-X", "dev", "-m", "tests.test.child")
    return [*python, "{file}", "--noinput", *options, *labels]


def start(module, *options, file, variables=None, **popen):
    """
    Return the process of a run.
    """
    arguments = [str(file) if a == "{file}" else a for a in command(module, *options)]
    # The settings make a directory; PostgreSQL is told by the variables of conftest.
    return subprocess.Popen(
        arguments,
        cwd=REPOSITORY,
        env={**os.environ, "EVERGREEN_TEST_NAME": f"test_{os.getpid()}_child"}
        | (variables or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **{"stdin": subprocess.DEVNULL, **popen},
    )


def check_start_method(method):
    """
    Skip the test if Django does not support workers that are started so.
    """
    needed = {"fork": (5, 2), "spawn": (5, 2), "forkserver": (6, 0)}[method]
    if method != "fork" and connection.vendor == "sqlite":
        # For a database in a file.
        needed = (6, 1)
    if django.VERSION < needed:
        pytest.skip(f"Django {needed} supports it")


def finish(process, file, began):
    try:
        output, _ = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"The run hung.\n{output}") from None
    found = {"tests": {}, "leftovers": []}
    if Path(file).exists():
        found = json.loads(Path(file).read_text())
    tests = {
        name.partition(".scenarios.")[2].partition(".")[2] or name: entry
        for name, entry in found["tests"].items()
    }
    return Outcome(
        tests=tests,
        leftovers=found["leftovers"],
        output=output,
        returncode=process.returncode,
        duration=time.monotonic() - began,
    )


@cache
def run(module, *options, engine=None, start_method=None):
    """
    Run a module, once for all tests that look at it.
    """
    variables = {"EVERGREEN_TEST_ENGINE": engine} if engine else {}
    if start_method:
        variables["EVERGREEN_TEST_START_METHOD"] = start_method
    return run_with(variables, module, *options)


def run_with(variables, module, *options):
    """
    Run a module, now.
    """
    with tempfile.TemporaryDirectory() as directory:
        file, began = Path(directory, "outcome.json"), time.monotonic()
        process = start(module, *options, file=file, variables=variables)
        return finish(process, file, began)
