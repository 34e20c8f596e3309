"""
The suite of django-model-utils.
"""

from __future__ import annotations

from . import Suite
from ._labels import of_pytest

SUITE = Suite(
    distribution="django-model-utils",
    directory=".",
    module="conformance.child.pytest_suite",
    labels=of_pytest,
    arguments=("-c", "setup.cfg"),
    settings="tests.settings",
    variables={"sqlite": {"SQLITE": "1"}},
)
