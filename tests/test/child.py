"""
Runs scenario modules by Django's own command, in a process of their own, and writes
what came of each test as JSON.

``python -m tests.test.child FILE [options of manage.py test] LABEL...``
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.test.runner import DiscoverRunner
from django.test.utils import get_runner


class Recorder:
    """
    Takes part in a result class.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.recorded = {}

    def record(self, test, status, error=None, text=""):
        entry = self.recorded.setdefault(test.id(), {"statuses": [], "errors": []})
        entry["statuses"].append(status)
        if error is not None:
            kind, *_ = error
            entry["errors"].append(
                {"type": kind.__name__, "text": self._exc_info_to_string(error, test)}
            )
        entry["text"] = text

    def addSuccess(self, test):
        super().addSuccess(test)
        self.record(test, "passed")

    def addError(self, test, err):
        super().addError(test, err)
        self.record(test, "error", err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.record(test, "failed", err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.record(test, "subtest failed", err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.record(test, "skipped", text=reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.record(test, "expected failure", err)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.record(test, "unexpected success")


def recording(runner, file):
    """
    Return a runner class that records.
    """

    class RecordingRunner(runner):
        def get_resultclass(self):
            base = super().get_resultclass() or self.test_runner.resultclass
            return type("RecordingResult", (Recorder, base), {})

        def suite_result(self, suite, result, **kwargs):
            leftovers = [
                [test_id, leftover.kind, leftover.name, leftover.outcome]
                for test_id, leftover in getattr(result, "leftovers", ())
            ]
            Path(file).write_text(
                json.dumps({"tests": result.recorded, "leftovers": leftovers})
            )
            return super().suite_result(suite, result, **kwargs)

    return RecordingRunner


def main():
    file, *arguments = sys.argv[1:]
    if method := os.environ.get("EVERGREEN_TEST_START_METHOD"):
        multiprocessing.set_start_method(method)
    django.setup()
    runner = recording(get_runner(settings) or DiscoverRunner, file)
    globals()["Runner"] = runner
    settings.TEST_RUNNER = f"{__name__}.Runner"
    sys.modules.setdefault("tests.test.child", sys.modules["__main__"])
    execute_from_command_line(["manage.py", "test", *arguments])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_sqlite")
    main()
