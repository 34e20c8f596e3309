"""
The suite of django-allauth, in the first one of its projects.
"""

from __future__ import annotations

from . import Suite
from ._labels import of_pytest

SUITE = Suite(
    distribution="django-allauth",
    directory=".",
    module="conformance.child.pytest_suite",
    labels=of_pytest,
    arguments=("-c", "pytest.ini", "-p", "pytest_asyncio.plugin"),
    settings="tests.projects.regular.settings",
)
