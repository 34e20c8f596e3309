"""
Most of these tests start a process which runs scenarios: they are slow, but for those
that show the heart of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

FAST = {"test_cases.py", "test_hooks.py", "test_loop_scopes.py"}
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE and item.path.name not in FAST:
            item.add_marker(pytest.mark.slow)
