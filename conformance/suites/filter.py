"""
The suite of django-filter.
"""

from __future__ import annotations

from . import Suite
from ._labels import of_unittest

SUITE = Suite(
    distribution="django-filter",
    directory=".",
    module="conformance.child.third_party_suite",
    labels=of_unittest,
    arguments=("runtests.py",),
)
