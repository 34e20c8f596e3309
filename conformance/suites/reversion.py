"""
The suite of django-reversion.
"""

from __future__ import annotations

from . import Suite
from ._labels import of_unittest

SUITE = Suite(
    distribution="django-reversion",
    directory="tests",
    module="conformance.child.third_party_suite",
    labels=of_unittest,
    arguments=("manage.py", "test", "--noinput"),
)
