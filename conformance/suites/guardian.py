"""
The suite of django-guardian.
"""

from __future__ import annotations

from . import Suite
from ._labels import of_pytest

SUITE = Suite(
    distribution="django-guardian",
    directory=".",
    module="conformance.child.pytest_suite",
    labels=of_pytest,
    arguments=("-c", "pyproject.toml"),
    settings="guardian.testapp.testsettings",
)
