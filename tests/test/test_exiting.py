"""
Threads that would keep the process from its end.
"""

from __future__ import annotations

import re

import pytest

from . import outcomes


@pytest.mark.parametrize("options", [(), ("--parallel=2",)])
def test_endless_threads_do_not_keep_the_process(options):
    outcome = outcomes.run("runner_threads", *options)
    assert outcome.failed() == ["OwnThread.test_thread"]
    assert outcome.returncode == 1
    assert re.search("Exiting without waiting for .*'of the project_0'", outcome.output)
    assert re.search("Exiting without waiting for .*'endless'", outcome.output)
    assert "Destroying test database" in outcome.output


def test_status_of_a_run_with_an_endless_thread():
    outcome = outcomes.run("runner_threads", "-k", "OfSyncTest", "-k", "Clean")
    assert outcome.returncode == 0, outcome.output
    assert "Exiting without waiting for 'of the project_0'" in outcome.output
