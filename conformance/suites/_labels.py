"""
The labels by which a runner takes the classes of some tests.
"""

from __future__ import annotations

import re


def of_unittest(tests: list[str]) -> list[str]:
    """
    Return the classes of these tests, as labels of Django's runner.
    """
    found = set()
    for test in tests:
        fixture = re.fullmatch(r"\w+ \((.+)\)", test)  # as "setUpClass (app.tests.T)"
        found.add(fixture[1] if fixture else test.rpartition(".")[0])
    return sorted(found)


def of_pytest(tests: list[str]) -> list[str]:
    """
    Return the classes, or files, of these tests, as arguments of pytest.
    """
    # A parameter may contain anything.
    names = (test.partition("[")[0] for test in tests)
    return sorted({name.rpartition("::")[0] or name for name in names})


def of_none(tests: list[str]) -> list[str]:
    """
    Return no label, for a script that takes none and runs all tests.
    """
    return []
