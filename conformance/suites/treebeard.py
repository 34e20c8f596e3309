"""
The suite of django-treebeard.
"""

from __future__ import annotations

from . import Suite
from ._labels import of_pytest

SUITE = Suite(
    distribution="django-treebeard",
    directory=".",
    module="conformance.child.pytest_suite",
    labels=of_pytest,
    arguments=("-c", "/dev/null"),
    settings="tests.settings",
    variables={"postgresql": {"DATABASE_ENGINE": "psql"}},
)
