"""
Async tests, on Django's own test case.
"""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.test import TestCase

from .classes import make_classes


async def test(self):
    assert await Group.objects.acount() == 1


globals().update(make_classes(TestCase, test))
