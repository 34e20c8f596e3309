"""
1,000 tests that do next to nothing: one query each, in ten classes.
"""

from __future__ import annotations

from django.contrib.auth.models import Group

CLASSES, TESTS_OF_CLASS = 10, 100


class Data:
    @classmethod
    def setUpTestData(cls):
        Group.objects.create(name="benchmark")


def make_classes(base, test):
    """
    Return the classes, in which each test is ``test``.
    """
    tests = {f"test_{number:03}": test for number in range(TESTS_OF_CLASS)}
    names = [f"Test{number}" for number in range(CLASSES)]
    return {name: type(name, (Data, base), dict(tests)) for name in names}
