"""
What a sync twin does instead of the async hooks, and instead of the report about
leftovers: its program tells what that has to be.
"""

from __future__ import annotations

from django.db import connection

from django_evergreen.test import LeftoversFound

from .leftovers import Unnoticed


class Twin:
    """
    Comes before Django's own class.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.expected = []

    @classmethod
    def setUpClass(cls):
        cls.expected = []
        super().setUpClass()
        cls.asyncSetUpClass()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.asyncTearDownClass()
        finally:
            super().tearDownClass()

    @classmethod
    def doClassCleanups(cls):
        if connection.in_atomic_block:
            # setUpClass() has failed, after Django's part of it.
            cls._rollback_atomics(cls.cls_atomics)
        super().doClassCleanups()
        for problem in problems(cls.expected):
            cls.tearDown_exceptions.append((type(problem), problem, None))

    @classmethod
    def asyncSetUpClass(cls):
        pass

    @classmethod
    def asyncTearDownClass(cls):
        pass

    def asyncSetUp(self):
        pass

    def asyncTearDown(self):
        pass

    def _callSetUp(self):
        super()._callSetUp()
        self.asyncSetUp()

    def _callTearDown(self):
        try:
            self.asyncTearDown()
        finally:
            super()._callTearDown()

    def doCleanups(self):
        is_successful = super().doCleanups()
        for problem in problems(self.expected):
            with self._outcome.testPartExecutor(self):
                raise problem
        return is_successful


def problems(expected):
    errors = [Unnoticed() for verdict in expected if verdict == "error"]
    return errors + [LeftoversFound("")] * ("leftover" in expected)
