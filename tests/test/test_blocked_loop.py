"""
A test that blocks the event loop: its time-out ends that, too.
"""

from __future__ import annotations

import pytest

from . import outcomes


def outcome():
    return outcomes.run("blocking")


@pytest.mark.parametrize("name", ["test_b_clean", "test_d_clean", "test_f_clean"])
def test_the_next_test_is_clean(name):
    assert outcome().statuses(f"Blocking.{name}") == ["passed"], outcome().output


@pytest.mark.parametrize("name", ["test_a_body", "test_e_sync_body"])
def test_it_fails_where_it_blocks(name):
    assert "TestTimeout" in outcome().errors(f"Blocking.{name}")
    assert "never.wait(600)" in outcome().text(f"Blocking.{name}")


def test_both_fail_if_a_task_of_the_test_blocks():
    text = outcome().text("Blocking.test_c_task")
    assert "Raised by the task 'blocking'" in text
    assert "await asyncio.sleep(3600)" in text
