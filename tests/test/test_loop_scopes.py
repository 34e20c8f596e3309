"""
How long a loop lives, and what lives with it.
"""

from __future__ import annotations

from . import outcomes


def test_class_transaction_and_global_clients_work_with_each_loop_scope():
    outcome = outcomes.run("loop_scopes")
    assert outcome.failed() == []
    assert len(outcome.tests) == 15, outcome.output
    assert outcome.returncode == 0, outcome.output
