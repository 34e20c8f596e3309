"""
Tests that lose their connection: the next class works on another one.
"""

from __future__ import annotations

import pytest

from . import outcomes


@pytest.mark.parametrize("cls", ["A2Clean", "A4Clean", "B0Clean", "B2Clean"])
def test_the_class_after_a_lost_connection_is_clean(cls):
    outcome = outcomes.run("lost")
    assert outcome.statuses(f"{cls}.test_a_clean") == ["passed"]
    assert outcome.statuses(f"{cls}.test_b_clean") == ["passed"]


def test_the_tests_of_its_class_cannot_go_on():
    """
    As in Django: the transaction of the class was lost, with its data.
    """
    outcome = outcomes.run("lost")
    assert "OperationalError" in outcome.errors("A3Lost.test_a")
    assert outcome.errors("A3Lost.test_b") == ["OperationalError"]
    assert outcome.errors("AZClosingShared.test_b") == ["OperationalError"]


def test_requests_do_not_close_the_connection_of_the_test():
    outcome = outcomes.run("lost")
    assert outcome.statuses("A5OldConnections.test_a") == ["passed"]
    assert outcome.statuses("A5OldConnections.test_b_clean") == ["passed"]
