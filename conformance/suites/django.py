"""
Django's own suite, in the source distribution of the version that is installed.
"""

from __future__ import annotations

import re

from . import Suite


def labels(tests: list[str]) -> list[str]:
    """
    Return the classes of these tests, as labels of ``runtests.py``.
    """
    found = set()
    for test in tests:
        fixture = re.fullmatch(r"\w+ \((.+)\)", test)  # as "setUpClass (app.tests.T)"
        found.add(fixture[1] if fixture else test.rpartition(".")[0])
    return sorted(found)


SUITE = Suite(
    distribution="Django",
    directory="tests",
    module="conformance.child.django_suite",
    labels=labels,
    modes=("plain", "bridge", "async"),
    partial_modes=("async",),
)
