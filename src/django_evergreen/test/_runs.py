"""
One run of one test: its engine, its context, what it has started, and its end.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable
from contextvars import Context
from typing import Any
from unittest.util import strclass

from ..db._scopes import _parent
from ..db._transactions import _blocks
from ._classes import ClassRun
from ._deadline import Deadline
from ._engine import Engine
from ._options import new_leftovers, option
from ._owners import Owner
from ._report import LeftoversFound, report
from ._settling import Outcome, Settling
from ._stacks import describe_stacks
from ._unawaited import watching_coroutines

# Tracebacks of failures begin below this module, as unittest's do.
__unittest = True


class TestRun:
    """
    One run of one test, in the engine.
    """

    def __init__(self, test: Any, result: Any) -> None:
        self.test = test
        self.result = result
        self.of_class = ClassRun.of(type(test))
        self.of_class.result = result
        self.engine: Engine = self.of_class.engine_of_test()
        self.owner = Owner(f"the test {test.id()}", self.of_class.owner)
        self.context: Context = self.of_class.context.copy()
        self.context.run(self.owner.enter)
        self._stood_in: list[Any] = []

    def run(self, call: Callable[[], Any]) -> Any:
        engine = self.engine
        outer, engine.current = engine.current, self.owner
        try:
            with watching_coroutines(self.owner):
                return engine.run(functools.partial(self._call, call), self.context)
        finally:
            engine.current = outer
            if engine is not self.of_class.engine:
                engine.close()

    def _call(self, call: Callable[[], Any]) -> Any:
        with self.of_class.lending_connections_to(self.engine):
            self._block_if_alone()
            try:
                return call()
            finally:
                self.engine.hub.blocks = False

    def _block_if_alone(self) -> None:
        """
        Save the turns of the loop that savepoints would need, if nobody else waits.
        """
        self.engine.hub.blocks = self.of_class.is_in_bridge and not (
            self.owner.tasks or self.of_class.owner.tasks
        )

    def begin(self) -> None:
        """
        Let what the class has started take part in the transaction of the test.
        """
        self.engine.hub.blocks = False
        # Whose query log and execute wrappers its tasks have.
        _parent.set(self.engine.scope)
        blocks = _blocks.get()
        self.owner.blocks = blocks
        for block in blocks.values():
            if block.outer is not None:
                block.outer.stand_in = block
                self._stood_in.append(block.outer)

    def deadline(self, method: Any) -> Deadline:
        timeout = getattr(method, "test_timeout", option(self.test, "test_timeout"))
        policy = self.of_class.policy
        if self.engine.is_interrupted:
            # While Django set up the test.
            raise asyncio.CancelledError("Ctrl-C was pressed.")
        return Deadline(timeout, policy.cancel_timeout, self._describe)

    def _describe(self) -> str:
        return describe_stacks(self.engine, self.owner)

    def settle(self, unittest_outcome: Any) -> None:
        """
        Bring what the test has started to an end, and tell unittest what it was.
        """
        policy = self.of_class.policy
        if self.engine.is_interrupted:
            policy = dataclasses.replace(policy, leftovers="cancel", drain_timeout=0.0)
        settling = Settling(self.engine, self.owner, policy)
        try:
            if settling.is_quiet():
                self.owner.is_over = True
                return
            outcome = self.engine.wait(settling.settle())
        finally:
            for block in self._stood_in:
                block.stand_in = None
            self._block_if_alone()
            # What Django does now, as to flush the database, is the class's.
            self.of_class.owner.enter()
            self.engine.current = self.of_class.owner
        for problem in problems(self.owner, outcome, self.result, self.test):
            if unittest_outcome is None:
                raise problem
            with unittest_outcome.testPartExecutor(self.test):
                raise problem


def problems(
    owner: Owner, outcome: Outcome, result: Any, test: Any
) -> list[BaseException]:
    """
    Note what was left over, and return what has to fail the test for it.
    """
    found: list[BaseException] = [*outcome.errors]
    tell_result(result, test, outcome)
    failing = [] if outcome.is_forgiven else new_leftovers(outcome.leftovers)
    if failing:
        text = report(owner.name[0].upper() + owner.name[1:], failing)
        found.append(LeftoversFound(text, failing))
    return found


def tell_result(result: Any, test: Any, outcome: Outcome) -> None:
    """
    Note it in a result of this package's runners, which have methods for it.
    """
    if outcome.waited and hasattr(result, "addWaiting"):
        result.addWaiting(test, outcome.waited)
    if outcome.leftovers and hasattr(result, "addLeftovers"):
        result.addLeftovers(test, outcome.leftovers)


class EndOfClass:
    """
    What unittest blames for the problems of a class.
    """

    def __init__(self, cls: Any) -> None:
        self._cls = cls

    def id(self) -> str:
        return f"tearDownClass ({strclass(self._cls)})"

    def __str__(self) -> str:
        return self.id()


def settle_class(run: ClassRun) -> None:
    """
    The same for what the hooks of a class have started.
    """
    settling = Settling(run.engine, run.owner, run.policy)
    if run.owner.started_nothing():
        run.owner.is_over = True
        return
    outcome = run.run(lambda: run.engine.wait(settling.settle()))
    for problem in problems(run.owner, outcome, run.result, EndOfClass(run.cls)):
        run.cls.tearDown_exceptions.append((type(problem), problem, None))
