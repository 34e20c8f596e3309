"""
A file of leftovers that a project has already.
"""

from __future__ import annotations

import pytest

from . import outcomes

CHOSEN = ("-k", "Leaving", "-k", "Loops")


def run(file, *options):
    options = (*CHOSEN, f"--leftovers-baseline={file}", *options)
    return outcomes.run_with({}, "runner_options", *options)


@pytest.mark.parametrize("options", [(), ("--parallel=2",)])
def test_is_written_and_forgives(tmp_path, options):
    file = tmp_path / "leftovers.txt"
    outcome = run(file, *options)
    assert outcome.failed() == []
    assert outcome.returncode == 0
    assert f"Wrote {file}: 2 leftovers known from now on." in outcome.output
    lines = file.read_text().splitlines()
    assert lines[-2:] == sorted(
        f"task sleep from {function} by tests.test.scenarios.runner_options.{function}"
        for function in ("Leaving.test_task", "LeavingOfClass.asyncSetUpClass")
    )
    outcome = run(file, *options)
    assert outcome.failed() == []
    assert outcome.returncode == 0
    assert f"Leftovers: 2 known by {file}, 0 new." in outcome.output
    assert len(outcome.leftovers) == 2


def test_new_ones_fail(tmp_path):
    file = tmp_path / "leftovers.txt"
    file.write_text(
        "# A comment.\n\n"
        "task sleep from LeavingOfClass.asyncSetUpClass by tests.test.scenarios."
        "runner_options.LeavingOfClass.asyncSetUpClass\n"
        "task was mended\n"
    )
    outcome = run(file)
    assert outcome.failed() == ["Leaving.test_task"]
    assert outcome.returncode == 1
    assert f"Leftovers: 1 known by {file}, 1 new." in outcome.output
    assert "1 line of the file found nothing." in outcome.output


def test_is_not_written_by_a_run_that_was_broken_off(tmp_path):
    file = tmp_path / "leftovers.txt"
    run(file, "-k", "Deciding", "--failfast")
    assert not file.exists()
