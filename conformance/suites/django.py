"""
Django's own suite, in the source distribution of the version that is installed.
"""

from __future__ import annotations

from . import Suite
from ._labels import of_unittest

SUITE = Suite(
    distribution="Django",
    directory="tests",
    module="conformance.child.django_suite",
    labels=of_unittest,
    modes=("plain", "bridge", "async", "runner", "requests"),
    partial_modes=("async", "runner", "requests"),
)
