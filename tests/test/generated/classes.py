"""
Makes test classes of a program: async ones, or their sync twins.
"""

from __future__ import annotations

import asyncio
import unittest

from django.test import TestCase, TransactionTestCase, override_settings

from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase, TestTimeout
from tests.app.models import Author

from . import leftovers
from .elsewhere import answer
from .lines import Line
from .programs import CleanUp, Hook
from .steps import add_cleanup, atake_steps, take_steps
from .twins import Twin

ASYNC_BASES = {"rollback": AsyncTestCase, "flush": AsyncTransactionTestCase}
SYNC_BASES = {"rollback": TestCase, "flush": TransactionTestCase}

# Seconds for a test: for one that hangs on purpose, and for others.
SHORT, LONG = 0.05, 10.0
# Seconds for leftovers that end by themselves, and for those that end as told.
DRAIN_TIMEOUTS = {"ended": 30.0, "cancelled": 0.0, "abandoned": 0.0}
NOTHING = Hook((), is_async=False)
CANCEL_TIMEOUTS = {"ended": 30.0, "cancelled": 30.0, "abandoned": 0.05}


def make_class(program, name, run):
    """
    Return a test class.
    """
    namespace = {
        "__module__": __name__,
        "__qualname__": name,
        "program": program,
        "test_timeout": LONG,
        "loop_scope": program.loop_scope,
        "leftovers": program.leftovers,
        "drain_timeout": DRAIN_TIMEOUTS[program.fate],
        "cancel_timeout": CANCEL_TIMEOUTS[program.fate],
    }
    maker = Maker(program, run)
    for hook_name, hook in {"setUp": NOTHING, **program.hooks}.items():
        namespace[hook_name] = maker.hook(hook_name, hook)
    if program.has_service and not run.is_twin:
        namespace["asyncSetUpClass"] = maker.with_service(program)
    for number, test in enumerate(program.tests):
        namespace[f"test_{number}"] = maker.test(f"test_{number}", test)
    if run.is_twin:
        bases = Twin, SYNC_BASES[program.kind]
    else:
        bases = (ASYNC_BASES[program.kind],)
    maker.cls = type(name, bases, namespace)
    return override_settings(ROOT_URLCONF=f"{__package__}.views")(maker.cls)


class Maker:
    """
    Makes the methods of one class.
    """

    def __init__(self, program, run):
        self.program = program
        self.run = run
        # When it's made.
        self.cls = None

    def line(self, owner, place):
        return Line(self.run, self.program, owner, place, self.run.trace)

    def is_async(self, part):
        return part.is_async and not self.run.is_twin

    def hook(self, name, hook):
        if name == "setUpTestData":
            return classmethod(self.test_data(hook))
        take = self.taking(name, hook)
        if name == "setUp":
            return self.before_all(take)
        if name in ("setUpClass", "tearDownClass"):
            take = self.around_super(name, take)
        return classmethod(take) if "Class" in name else take

    def taking(self, name, hook):
        if self.is_async(hook):

            async def take(owner):
                await atake_steps(self.line(owner, name), hook.steps)

        else:

            def take(owner):
                take_steps(self.line(owner, name), hook.steps)

        return take

    def before_all(self, take):
        def set_up(case):
            name = case._testMethodName
            last = self.program.tests[int(name.removeprefix("test_"))].last
            if last:
                step = CleanUp(last, is_async=True)
                add_cleanup(self.line(case, f"{name}.last"), step)
            take(case)

        return set_up

    def around_super(self, name, take):
        def set_up(cls):
            super(self.cls, cls).setUpClass()
            take(cls)

        def tear_down(cls):
            try:
                take(cls)
            finally:
                super(self.cls, cls).tearDownClass()

        return set_up if name == "setUpClass" else tear_down

    def test_data(self, hook):
        take = self.taking("setUpTestData", hook)
        if self.is_async(hook):

            async def set_up(cls):
                cls.author = await Author.objects.acreate(name="of the class")
                await take(cls)

        else:

            def set_up(cls):
                cls.author = Author.objects.create(name="of the class")
                take(cls)

        return set_up

    def with_service(self, program):
        hook = program.hooks.get("asyncSetUpClass")

        async def set_up(cls):
            cls.questions, cls.answers = asyncio.Queue(), asyncio.Queue()
            task = asyncio.create_task(answer(cls), name="service")

            async def stop():
                task.cancel()
                await asyncio.wait([task])

            cls.addAsyncClassCleanup(stop)
            if hook is not None:
                await self.taking("asyncSetUpClass", hook)(cls)

        return classmethod(set_up)

    def test(self, name, test):
        if self.is_async(test):

            async def method(case):
                await atake_steps(self.line(case, name), test.steps)
                if test.hangs:
                    await leftovers.HANGS[test.hangs]()

        else:

            def method(case):
                take_steps(self.line(case, name), test.steps)
                if test.hangs:
                    raise TestTimeout

        if test.hangs:
            method.test_timeout = SHORT
        if test.decorator == "skip":
            method = unittest.skip("by its decorator")(method)
        elif test.decorator == "expectedFailure":
            method = unittest.expectedFailure(method)
        return method
