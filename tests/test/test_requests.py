"""
Requests in async tests.
"""

from __future__ import annotations

import pytest

from . import outcomes


@pytest.mark.parametrize("cls", ["Rollback", "Flush"])
@pytest.mark.parametrize(
    "test",
    ["test_a_at_once", "test_c_client_that_leaves_in_a_stream"],
)
def test_they_leave_the_connection_and_no_rows(test, cls):
    """
    The test that follows has found none.
    """
    outcome = outcomes.run("requests")
    assert outcome.statuses(f"{cls}.{test}") == ["passed"], outcome.text(
        f"{cls}.{test}"
    )
    letter = test.split("_")[1]
    assert outcome.statuses(f"{cls}.test_{chr(ord(letter) + 1)}_clean") == ["passed"]
