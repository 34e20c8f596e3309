"""
One run of one test: its engine, its context, what it has started, and its end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ..db._transactions import _blocks
from ._classes import ClassRun
from ._deadline import Deadline
from ._engine import Engine
from ._options import option
from ._owners import Owner
from ._report import LeftoversFound, report
from ._settling import Outcome, Settling
from ._stacks import describe_stacks
from ._unawaited import watching_coroutines


class TestRun:
    """
    One run of one test, in the engine.
    """

    def __init__(self, test: Any, result: Any) -> None:
        self.test = test
        self.result = result
        self.of_class = ClassRun.of(type(test))
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
        blocks = _blocks.get()
        self.owner.blocks = blocks
        for block in blocks.values():
            if block.outer is not None:
                block.outer.stand_in = block
                self._stood_in.append(block.outer)

    def deadline(self, method: Any) -> Deadline:
        timeout = getattr(method, "test_timeout", option(self.test, "test_timeout"))
        policy = self.of_class.policy
        return Deadline(timeout, policy.cancel_timeout, self._describe)

    def _describe(self) -> str:
        return describe_stacks(self.engine, self.owner)

    def settle(self, unittest_outcome: Any) -> None:
        """
        Bring what the test has started to an end, and tell unittest what it was.
        """
        settling = Settling(self.engine, self.owner, self.of_class.policy)
        try:
            if settling.is_quiet():
                self.owner.is_over = True
                return
            outcome = self.engine.wait(settling.settle())
        finally:
            for block in self._stood_in:
                block.stand_in = None
            self._block_if_alone()
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
    if outcome.leftovers:
        note = getattr(result, "addLeftovers", None)
        if note is not None:
            note(test, outcome.leftovers)
        text = report(owner.name[0].upper() + owner.name[1:], outcome.leftovers)
        if not outcome.is_forgiven:
            found.append(LeftoversFound(text, outcome.leftovers))
    return found


def settle_class(run: ClassRun) -> None:
    """
    The same for what the hooks of a class have started.
    """
    settling = Settling(run.engine, run.owner, run.policy)
    if run.owner.started_nothing():
        run.owner.is_over = True
        return
    outcome = run.run(lambda: run.engine.wait(settling.settle()))
    for problem in problems(run.owner, outcome, None, None):
        run.cls.tearDown_exceptions.append((type(problem), problem, None))
