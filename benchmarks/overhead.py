"""
What it costs to look for leftovers: for each test, and for each task that it starts.

CPU time with and without, in turns, in one process, which has the settings of the
trivial tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
import unittest
from unittest import mock

import django
from django.test.runner import DiscoverRunner

ROUNDS, TASKS = 20, 500
# Microseconds: what it should cost at most.
AIM_OF_TEST, AIM_OF_TASK = 100, 10


class NoSettling:
    """
    Finds everything quiet, without a look.
    """

    def __init__(self, engine, owner, policy):
        pass

    def is_quiet(self):
        return True


@contextlib.contextmanager
def looking_for_nothing():
    from django_evergreen.test import _runs

    with (
        mock.patch.object(_runs, "Settling", NoSettling),
        mock.patch.object(_runs, "watching_coroutines", contextlib.nullcontext),
    ):
        yield


def time_of_test():
    """
    Run the tests of a class; return the microseconds of each.
    """
    from .trivial import classes, evergreen

    tests = unittest.defaultTestLoader.loadTestsFromTestCase(evergreen.Test0)
    result = unittest.TestResult()
    started = time.process_time()
    tests.run(result)
    seconds = time.process_time() - started
    assert result.wasSuccessful(), result.errors
    return seconds / classes.TESTS_OF_CLASS * 1e6


def compare_tests():
    """
    Return the microseconds of a test, with the look for leftovers and without.
    """
    found, missed = [], []
    for number in range(-2, ROUNDS):
        having = time_of_test()
        with looking_for_nothing():
            lacking = time_of_test()
        if number >= 0:
            found.append(having)
            missed.append(lacking)
    return found, missed


async def do_nothing():
    pass


async def time_of_task(factory):
    """
    Start tasks and await each; return the microseconds of each.
    """
    loop = asyncio.get_running_loop()
    of_engine = loop.get_task_factory()
    if factory is not of_engine:
        loop.set_task_factory(factory)
    try:
        started = time.process_time()
        for _ in range(TASKS):
            await loop.create_task(do_nothing())
        return (time.process_time() - started) / TASKS * 1e6
    finally:
        loop.set_task_factory(of_engine)


def compare_tasks():
    """
    Return the microseconds of a task, with the engine's task factory and without.
    """
    from django_evergreen.test import AsyncSimpleTestCase

    found, missed = [], []

    class Tasks(AsyncSimpleTestCase):
        async def test(self):
            of_engine = asyncio.get_running_loop().get_task_factory()
            for _ in range(ROUNDS):
                found.append(await time_of_task(of_engine))
                missed.append(await time_of_task(None))

    result = unittest.TestResult()
    Tasks("test")(result)
    assert result.wasSuccessful(), result.errors
    return found, missed


def report(label, found, missed, aim):
    difference = statistics.median(a - b for a, b in zip(found, missed, strict=True))
    having, lacking = statistics.median(found), statistics.median(missed)
    print(f"{label:34}{lacking:8.1f}{having:8.1f}{difference:12.1f}{aim:6}")


def main():
    django.setup()
    runner = DiscoverRunner(verbosity=0, interactive=False)
    runner.setup_test_environment()
    databases = runner.setup_databases()
    try:
        print(f"{'CPU us, medians':34}{'without':>8}{'with':>8}", end="")
        print(f"{'difference':>12}{'aim':>6}")
        report("the look for leftovers, a test", *compare_tests(), AIM_OF_TEST)
        report("to know who started it, a task", *compare_tasks(), AIM_OF_TASK)
    finally:
        runner.teardown_databases(databases)
        runner.teardown_test_environment()


if __name__ == "__main__":
    main()
