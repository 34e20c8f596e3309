"""
The test classes: hooks, isolation, one transaction, one task.
"""

from __future__ import annotations

from . import outcomes


def test_async_hooks_share_a_task_and_a_transaction_that_is_rolled_back():
    outcome = outcomes.run("basics")
    assert outcome.failed() == []
    assert len(outcome.tests) == 10
    assert outcome.returncode == 0, outcome.output
