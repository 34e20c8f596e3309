"""
The reports in docs/leftovers.md are what is printed, but for numbers.
"""

from __future__ import annotations

import re

import pytest

from . import outcomes

PAGE = outcomes.REPOSITORY / "docs" / "leftovers.md"
ENTRY = re.compile(r"^- \w.*, which .*\n(?:    .*\n)+", re.MULTILINE)


def entries(text):
    return [without_numbers(entry) for entry in ENTRY.findall(text)]


def without_numbers(text):
    return re.sub(r":\d+ in |\d+\.\d+ s\b", "", text)


@pytest.mark.only("sqlite")
def test_reports_are_real():
    of_page = entries(PAGE.read_text(encoding="utf-8"))
    printed = {
        entry
        for module in ("leaks", "background")
        for entry in entries(outcomes.run(module).output)
    }
    assert len(of_page) >= 7
    assert [entry for entry in of_page if entry not in printed] == []
