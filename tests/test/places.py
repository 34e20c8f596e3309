"""
Lines of the scenario modules, by what is written in them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

SCENARIOS = Path(__file__).parent / "scenarios"


@cache
def place(module, text):
    """
    Return the place of the one line of a module that contains a text, as reports
    have it.
    """
    lines = (SCENARIOS / f"{module}.py").read_text().splitlines()
    found = [number for number, line in enumerate(lines, 1) if text in line]
    assert len(found) == 1, f"{text!r} is in the lines {found} of {module}.py"
    return f"tests/test/scenarios/{module}.py:{found[0]} in "
