"""
The test classes: hooks, isolation, one transaction, one task.
"""

from __future__ import annotations

from django.db import connection

from . import outcomes


def test_async_hooks_share_a_task_and_a_transaction_that_is_rolled_back():
    outcome = outcomes.run("basics")
    assert outcome.failed() == []
    assert len(outcome.tests) == 10
    assert outcome.returncode == 0, outcome.output


def test_they_work_on_the_stock_engine_by_one_shared_connection():
    outcome = outcomes.run("basics", engine=f"django.db.backends.{vendor()}")
    assert outcome.failed() == []
    assert len(outcome.tests) == 10
    assert outcome.returncode == 0, outcome.output


def vendor():
    return {"postgresql": "postgresql", "sqlite": "sqlite3"}[connection.vendor]
