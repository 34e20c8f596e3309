"""
The same async tests, on this package's test case.
"""

from __future__ import annotations

from django_evergreen.test import AsyncTestCase

from .classes import make_classes
from .stock import test

globals().update(make_classes(AsyncTestCase, test))
