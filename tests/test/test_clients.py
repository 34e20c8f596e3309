"""
Test clients that wait for the tasks of a view.
"""

from __future__ import annotations

import pytest

from . import outcomes


@pytest.mark.parametrize(
    "test",
    [
        "test_a_waits_for_the_tasks_of_the_view",
        "test_c_does_not_wait",
        "test_e_waits_below_middleware_in_a_thread",
        "test_g_waits_for_no_other_tasks",
        "test_i_sync_client",
        "test_k_sync_test",
    ],
)
def test_a_client_waits_if_it_is_told_to(test):
    outcome = outcomes.run("background")
    assert outcome.statuses(f"WaitingClients.{test}") == ["passed"], outcome.text(
        f"WaitingClients.{test}"
    )
