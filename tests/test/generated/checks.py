"""
Runs a program by both kinds of classes, and tells what differs and what is left over.
"""

from __future__ import annotations

import io
import unittest
from collections import Counter

from django.test.runner import DiscoverRunner, reorder_tests

from tests.test.child import Recorder

from . import leftovers
from .classes import make_class
from .lines import Run
from .remains import Remains


class LeftoversNoted:
    """
    Takes part in a result class: counts what was left over, forgiven or not.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.left = Counter()

    def addLeftovers(self, test, leftovers):
        self.left.update(leftover.kind for leftover in leftovers)


class Runner(DiscoverRunner):
    """
    Runs tests in the database that is there already.
    """

    def get_resultclass(self):
        return type(
            "Result", (Recorder, LeftoversNoted, self.test_runner.resultclass), {}
        )

    def get_test_runner_kwargs(self):
        return {**super().get_test_runner_kwargs(), "stream": io.StringIO()}

    def run_classes(self, classes):
        load = unittest.defaultTestLoader.loadTestsFromTestCase
        tests = [test for cls in classes for test in load(cls)]
        suite = self.test_suite(reorder_tests(tests, self.reorder_by))
        return self.run_suite(suite)


def run(program, is_twin):
    """
    Run the classes of a program. Returns the result of unittest, and the run.
    """
    run = Run(is_twin)
    classes = [
        make_class(class_program, f"Class{number}", run)
        for number, class_program in enumerate(program)
    ]
    return Runner(verbosity=0, interactive=False).run_classes(classes), run


def problems_of(program, seen):
    """
    Return what is wrong with a program's runs, as lines of text. Count in ``seen`` the
    steps and the statuses of its async tests.
    """
    leftovers.may_end.clear()
    remains = Remains()
    result, run_of_async = run(program, is_twin=False)
    problems = remains.find()
    result_of_twin, run_of_twin = run(program, is_twin=True)
    problems += differences(result_of_twin.recorded, result.recorded)
    if result.left != run_of_twin.left:
        problems.append(f"Left over: {result.left} in place of {run_of_twin.left}")
    if run_of_twin.trace != run_of_async.trace:
        problems.append(
            "What was seen differs.\n"
            f"  sync:  {run_of_twin.trace}\n  async: {run_of_async.trace}"
        )
    seen += run_of_async.taken
    for entry in result.recorded.values():
        seen.update(entry["statuses"])
    return problems


def outcome(entry):
    return entry["statuses"], [error["type"] for error in entry["errors"]]


NOTHING = {"statuses": [], "errors": []}


def differences(expected, recorded):
    """
    Yield the tests with other outcomes than those of the sync twin.
    """
    found = []
    for name in sorted({*expected, *recorded}):
        theirs, ours = expected.get(name, NOTHING), recorded.get(name, NOTHING)
        if outcome(theirs) != outcome(ours):
            text = "\n".join(error["text"] for error in ours["errors"])
            found.append(
                f"{name}: {outcome(theirs)} in the sync twin, {outcome(ours)} in the "
                f"async test.\n{text}"
            )
    return found
