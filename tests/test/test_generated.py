"""
Test modules that nobody has written: whatever they do, their tests pass and fail as
the same tests in sync code, and leave nothing behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from . import outcomes
from .generated import leftovers, programs

EXAMPLES = 200
# Seconds. It takes a fifth of it where nothing else runs.
DEADLINE = 240

STATUSES = {
    "error",
    "expected failure",
    "failed",
    "passed",
    "skipped",
    "subtest failed",
    "unexpected success",
}
NO_STEPS = {"Class", "Hook", "Test"}
STEPS = {
    name
    for name, value in vars(programs).items()
    if isinstance(value, type) and value.__module__ == programs.__name__
} - NO_STEPS
LEFTOVERS = {
    f"{fate}: {kind}" for fate, kinds in leftovers.KINDS.items() for kind in kinds
}


def search(file, what):
    """
    Make up modules, in a process of their own, and return what was found.
    """
    try:
        process = subprocess.run(
            [sys.executable, "-m", "tests.test.generated", str(file), str(what)],
            cwd=outcomes.REPOSITORY,
            env={**os.environ, "EVERGREEN_TEST_NAME": f"test_{os.getpid()}_generated"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"It hung.\n{error.stdout}") from None
    assert process.returncode == 0, process.stdout
    return json.loads(file.read_text())


@pytest.mark.slow
@pytest.mark.timeout(DEADLINE + 30)
def test_generated_modules_do_what_their_sync_twins_do_and_leave_nothing(tmp_path):
    found = search(tmp_path / "found.json", EXAMPLES)
    assert not found["problems"], "\n".join([*found["problems"], found["program"]])
    assert found["tried"] >= EXAMPLES
    assert set(found["seen"]) >= STEPS | STATUSES
    # Each of them is rare.
    assert len(set(found["seen"]) & LEFTOVERS) >= 0.7 * len(LEFTOVERS)
