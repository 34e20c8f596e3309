"""
The suite of django-simple-history.
"""

from __future__ import annotations

from . import Suite
from ._labels import of_none

SUITE = Suite(
    distribution="django-simple-history",
    directory=".",
    module="conformance.child.third_party_suite",
    labels=of_none,
    arguments=("runtests.py",),
)
