"""
Which databases a test may use, and what comes back after it.
"""

from __future__ import annotations

import pytest

from . import outcomes


@pytest.mark.parametrize("options", [(), ("--parallel=2",)])
def test_several_databases_and_none(options):
    outcome = outcomes.run(
        "runner_databases", "-k", "Both", "-k", "Forbidden", *options
    )
    assert outcome.failed() == []
    assert len(outcome.tests) == 18
    assert outcome.output.count("Destroying test database for alias 'other'") == (
        3 if options else 1
    )


@pytest.mark.parametrize("method", [None, "fork", "spawn"])
def test_serialized_data_and_sequences(method):
    if method:
        outcomes.check_start_method(method)
    # Content types, made anew after other flushes, get other keys.
    options = ("--parallel=2",) if method else ()
    outcome = outcomes.run(
        "runner_databases", "-k", "Serialized", *options, start_method=method
    )
    assert outcome.failed() == []
    assert len(outcome.tests) == 4
