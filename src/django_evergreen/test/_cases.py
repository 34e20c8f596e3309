"""
The test classes: Django's own, on the engine.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from asgiref.sync import AsyncToSync
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from ._assertions import AsyncAssertions
from ._classes import ClassRun, prepare
from ._engine import LoopFactory
from ._ledger import close_connections_to_others
from ._options import option
from ._runs import TestRun, settle_class
from ._settling import DRAIN_TIMEOUTS, Policy

# Tracebacks of failures begin below this module, as unittest's do.
__unittest = True


class AsyncTestMixin(AsyncAssertions):
    """
    Runs the tests of a Django test class on an event loop that is kept between them.

    Put it before a class of yours: ``class MyTests(AsyncTestMixin, APITestCase)``.
    """

    # What is None here is as the runner was told; see its options.

    # How long a loop lives: for the "session", a "class" or a "test".
    loop_scope: ClassVar[str | None] = None
    # Makes the loop; uvloop.new_event_loop, for example. A loop made by it is
    # kept for the class at the most.
    loop_factory: ClassVar[LoopFactory | None] = None
    # What the test has left over fails it ("fail"), is waited for ("wait") or is
    # just stopped ("cancel").
    leftovers: ClassVar[str | None] = None
    # Seconds to wait for leftovers. None: 1 for "fail", 60 for "wait", 0 for "cancel".
    drain_timeout: ClassVar[float | None] = None
    # Seconds that what was cancelled may take to end.
    cancel_timeout: ClassVar[float | None] = None
    # What may go on, by its name, its function, or "module.function" of what has
    # started it, with ``*``.
    allowed_leftovers: ClassVar[Sequence[str]] = ()
    # Seconds for a test; a method can have it as an attribute.
    test_timeout: ClassVar[float | None] = None

    _evergreen_test: TestRun | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        prepare(cls)

    # Hooks.

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()  # type: ignore[misc]
        close_connections_to_others(cls.databases)  # type: ignore[attr-defined]
        if _is_overridden(cls, "asyncSetUpClass"):
            ClassRun.of(cls).call_async(cls.asyncSetUpClass)

    @classmethod
    def tearDownClass(cls) -> None:
        try:
            if _is_overridden(cls, "asyncTearDownClass"):
                ClassRun.of(cls).call_async(cls.asyncTearDownClass)
        finally:
            super().tearDownClass()  # type: ignore[misc]

    @classmethod
    def doClassCleanups(cls) -> None:
        run = ClassRun.of(cls)
        run.call_hook(super().doClassCleanups)  # type: ignore[misc]
        try:
            settle_class(run)
        finally:
            run.end()

    @classmethod
    async def asyncSetUpClass(cls) -> None:
        """
        Called before the first test, after ``setUpClass()`` and ``setUpTestData()``.
        """

    @classmethod
    async def asyncTearDownClass(cls) -> None:
        """
        Called after the last test, before ``tearDownClass()``.
        """

    async def asyncSetUp(self) -> None:
        """
        Called before each test, after ``setUp()``.
        """

    async def asyncTearDown(self) -> None:
        """
        Called after each test, before ``tearDown()``.
        """

    @classmethod
    def leftover_policy(cls) -> Policy:
        """
        Return what to do about leftovers of tests of this class.
        """
        return Policy(
            leftovers=option(cls, "leftovers"),
            drain_timeout=option(cls, "drain_timeout"),
            cancel_timeout=option(cls, "cancel_timeout"),
            allowed=tuple(cls.allowed_leftovers),
        )

    # Cleanups and contexts.

    def addAsyncCleanup(
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> None:
        """
        Same as ``addCleanup()``, for a coroutine function; awaited before the rollback.
        """
        self.addCleanup(function, *args, **kwargs)  # type: ignore[attr-defined]

    async def enterAsyncContext(self, context: Any) -> Any:
        """
        Same as ``enterContext()``, for an async context manager. Left before the
        rollback, in the same task.
        """
        kind = type(context)
        enter, leave = kind.__aenter__, kind.__aexit__
        result = await enter(context)
        self.addAsyncCleanup(leave, context, None, None, None)
        return result

    @classmethod
    def addAsyncClassCleanup(
        cls, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> None:
        """
        Same as ``addClassCleanup()``, for a coroutine function.
        """
        run = ClassRun.of(cls)

        def clean_up() -> None:
            run.call_async(functools.partial(function, *args, **kwargs))

        cls.addClassCleanup(clean_up)  # type: ignore[attr-defined]

    @classmethod
    async def enterAsyncClassContext(cls, context: Any) -> Any:
        """
        Same as ``enterClassContext()``, for an async context manager.
        """
        kind = type(context)
        enter, leave = kind.__aenter__, kind.__aexit__
        result = await enter(context)
        cls.addAsyncClassCleanup(leave, context, None, None, None)
        return result

    # How unittest runs a test.

    def __call__(self, result: Any = None) -> Any:
        call = super().__call__  # type: ignore[misc]
        if not self._runs_in_engine():
            return call(result)
        return self._in_engine(functools.partial(call, result), result)

    def debug(self) -> Any:
        call = super().debug  # type: ignore[misc]
        if not self._runs_in_engine():
            return call()
        run = ClassRun.of(type(self))
        return self._in_engine(functools.partial(run.undo_if_it_fails, call), None)

    def _runs_in_engine(self) -> bool:
        """
        Return whether this test is async, or in a transaction of the engine's task.
        """
        method = _method_below(getattr(self, self._testMethodName))  # type: ignore[attr-defined]
        if any(getattr(x, "__unittest_skip__", False) for x in (type(self), method)):
            return False
        return (
            inspect.iscoroutinefunction(inspect.unwrap(method))
            or issubclass(type(self), TestCase)
            or _is_overridden(type(self), "asyncSetUp")
            or _is_overridden(type(self), "asyncTearDown")
        )

    def _in_engine(self, call: Callable[[], Any], result: Any) -> Any:
        if self._evergreen_test is not None:
            # __call__ calls debug(), or the other way round.
            return call()
        method = _method_below(getattr(self, self._testMethodName))  # type: ignore[attr-defined]
        if getattr(method, "__unittest_expecting_failure__", False):
            # Django hides it, by its wrapper of the method.
            self.__unittest_expecting_failure__ = True
        run = self._evergreen_test = TestRun(self, result)
        try:
            return run.run(call)
        finally:
            self._evergreen_test = None

    def _callSetUp(self) -> None:
        run = self._evergreen_test
        if run is None:
            super()._callSetUp()  # type: ignore[misc]
            return
        run.begin()
        run.engine.call(super()._callSetUp)  # type: ignore[misc]
        if _is_overridden(type(self), "asyncSetUp"):
            run.engine.wait(self.asyncSetUp())

    def _callTestMethod(self, method: Any) -> None:
        run = self._evergreen_test
        if run is None:
            _refuse_run(method)
            super()._callTestMethod(method)  # type: ignore[misc]
            return
        method = _method_below(method)
        deadline = run.deadline(method)
        if inspect.iscoroutinefunction(method):
            run.engine.wait(method(), deadline)
        elif inspect.iscoroutinefunction(inspect.unwrap(method)):
            # A decorator, which may have awaited it.
            outcome = run.engine.call(method, deadline=deadline)
            if inspect.isawaitable(outcome):
                run.engine.wait(_awaiting(outcome), run.deadline(method))
        else:
            run.engine.call(super()._callTestMethod, method, deadline=deadline)  # type: ignore[misc]

    def _callTearDown(self) -> None:
        run = self._evergreen_test
        if run is None:
            super()._callTearDown()  # type: ignore[misc]
            return
        try:
            if _is_overridden(type(self), "asyncTearDown"):
                run.engine.wait(self.asyncTearDown())
        finally:
            run.engine.call(super()._callTearDown)  # type: ignore[misc]

    def _callCleanup(self, function: Any, /, *args: Any, **kwargs: Any) -> None:
        run = self._evergreen_test
        if run is None:
            super()._callCleanup(function, *args, **kwargs)  # type: ignore[misc]
            return
        outcome = run.engine.call(functools.partial(function, *args, **kwargs))
        if inspect.isawaitable(outcome):
            run.engine.wait(_awaiting(outcome))

    def doCleanups(self) -> Any:
        is_successful = super().doCleanups()  # type: ignore[misc]
        run = self._evergreen_test
        if run is not None:
            run.settle(self._outcome)  # type: ignore[attr-defined]
        return is_successful


# As is done for each class made from it.
prepare(AsyncTestMixin)


def _is_overridden(cls: Any, hook: str) -> bool:
    mine, theirs = getattr(AsyncTestMixin, hook), getattr(cls, hook)
    return getattr(theirs, "__func__", theirs) is not getattr(mine, "__func__", mine)


def _refuse_run(method: Any) -> None:
    """
    Raise TypeError for an async test which is run past Django's ``__call__()``.
    """
    if inspect.iscoroutinefunction(inspect.unwrap(method)):
        msg = (
            f"{method.__qualname__}() is async, and would not be awaited: call the "
            "test, `test(result)`, in place of `test.run(result)`."
        )
        raise TypeError(msg)


async def _awaiting(awaitable: Any) -> Any:
    return await awaitable


def _method_below(method: Any) -> Any:
    """
    Return the coroutine function that Django has wrapped for sync callers.
    """
    return method.awaitable if isinstance(method, AsyncToSync) else method


class AsyncSimpleTestCase(AsyncTestMixin, SimpleTestCase):
    """
    Django's ``SimpleTestCase`` with async tests: no queries.
    """


class AsyncTransactionTestCase(AsyncTestMixin, TransactionTestCase):
    """
    Django's ``TransactionTestCase`` with async tests: flushes the database.
    """


class AsyncTestCase(AsyncTestMixin, TestCase):
    """
    Django's ``TestCase`` with async tests: rolls back what each test did.
    """


class AsyncDatabaseTeardownTestCase(AsyncTransactionTestCase):
    """
    Waits for all that a test has started, for 60 s at the most, before the database
    is flushed; and doesn't fail the test for it.
    """

    leftovers = "wait"
    drain_timeout = DRAIN_TIMEOUTS["wait"]
