"""
Django's test runner: with the mode, and a record of each test.
"""

from __future__ import annotations

from typing import Any
from unittest import TestSuite

from django.utils.module_loading import import_string

from .. import modes
from .._environment import Environment
from .recorder import Recorder
from .share import take_share

ENVIRONMENT = Environment.read()
MODE = modes.load(ENVIRONMENT.mode)


BaseRunner: Any = import_string(MODE.runner)


class Runner(BaseRunner):
    def build_suite(self, *args: Any, **kwargs: Any) -> TestSuite:
        tests = filter(MODE.selects, super().build_suite(*args, **kwargs))
        suite = TestSuite(take_share(tests, int(ENVIRONMENT.share)))
        Recorder.writer.total(suite.countTestCases())
        return suite

    def get_resultclass(self) -> type[Recorder]:
        return Recorder

    def run_suite(self, suite: TestSuite, **kwargs: Any) -> Any:
        return MODE.around_suite(suite, super().run_suite)
