"""
The suite of django-rest-framework.
"""

from __future__ import annotations

from . import Suite
from ._labels import of_pytest

SUITE = Suite(
    distribution="djangorestframework",
    directory=".",
    module="conformance.child.pytest_suite",
    labels=of_pytest,
    arguments=("-c", "pyproject.toml"),
    variables={"postgresql": {"DATABASE_URL": "postgres:///"}},
)
