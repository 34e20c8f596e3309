"""
Sync tests, on Django's own test case.
"""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.test import TestCase

from .classes import make_classes


def test(self):
    assert Group.objects.count() == 1


globals().update(make_classes(TestCase, test))
