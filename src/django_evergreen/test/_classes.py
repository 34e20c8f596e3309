"""
What the class of an async test has: its engine, its context, and its part in the
methods by which unittest and Django set a class up.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.test import TestCase

from ..bridge import await_, in_bridge
from ..db._moving import move_scope
from ._engine import Engine, close_idle_connections
from ._options import option
from ._owners import Owner
from ._settling import DRAIN_TIMEOUTS
from ._sharing import forget_transactions

# The hooks of unittest which call nothing that they get back, and what to define.
SYNC_HOOKS = {
    "setUp": "asyncSetUp",
    "tearDown": "asyncTearDown",
    "setUpClass": "asyncSetUpClass",
    "tearDownClass": "asyncTearDownClass",
}
SCOPES = ("session", "class", "test")

_session: list[Engine] = []


def session_engine(make: Callable[[], Engine]) -> Engine:
    """
    Return the engine that lives as long as the run.
    """
    if not _session or _session[0] not in Engine.alive:
        _session[:] = [make()]
    return _session[0]


def prepare(cls: Any) -> None:
    """
    Make the hooks that a class defines, or has from a plain mixin, run where they
    should; refuse those that would never be awaited.

    Raises TypeError. Called when the class is made.
    """
    for name, remedy in SYNC_HOOKS.items():
        # Not of what a decorator has wrapped: that may well await it.
        if inspect.iscoroutinefunction(_find(cls, name)):
            msg = (
                f"{cls.__qualname__}.{name}() is a coroutine function, which nobody "
                f"would await: call it `async def {remedy}()`."
            )
            raise TypeError(msg)
    for name, choices in (("loop_scope", SCOPES), ("leftovers", DRAIN_TIMEOUTS)):
        value = cls.__dict__.get(name)
        if value is not None and value not in choices:
            known = ", ".join(map(repr, choices))
            msg = f"{cls.__qualname__}.{name} is {value!r}. It can be {known}."
            raise TypeError(msg)
    for name in ("setUpClass", "tearDownClass"):
        hook = _find(cls, name)
        if not hasattr(hook, "runs_in_engine"):
            setattr(cls, name, classmethod(_in_engine(hook)))
    hook = _find(cls, "setUpTestData")
    if inspect.iscoroutinefunction(hook):
        cls.setUpTestData = classmethod(_awaited_in_bridge(hook))


def _find(cls: Any, name: str) -> Any:
    """
    Return the function of a hook, below classmethod().
    """
    hook = inspect.getattr_static(cls, name, None)
    return getattr(hook, "__func__", hook)


def _in_engine(fn: Any) -> Any:
    @functools.wraps(fn)
    def hook(cls: Any, *args: Any) -> Any:
        return ClassRun.of(cls).call_hook(functools.partial(fn, cls, *args))

    hook.runs_in_engine = True  # type: ignore[attr-defined]
    return hook


def _awaited_in_bridge(fn: Any) -> Any:
    """
    Return a function for sync code in the bridge; async code awaits what it returns.
    """

    @functools.wraps(fn)
    def hook(*args: Any) -> Any:
        coroutine = fn(*args)
        return await_(coroutine) if in_bridge() else coroutine

    return hook


class ClassRun:
    """
    One run of the tests of a class.
    """

    def __init__(self, cls: Any) -> None:
        if not apps.is_installed("django_evergreen"):
            msg = (
                f"{cls.__qualname__} is an async test class, which needs the app: add "
                "'django_evergreen' to INSTALLED_APPS."
            )
            raise ImproperlyConfigured(msg)
        self.cls = cls
        name = f"the class {cls.__module__}.{cls.__qualname__}"
        self.owner = Owner(name)
        self.context: Context = copy_context()
        self.context.run(self.owner.enter)
        self._engine: Engine | None = None
        # Of its tests.
        self.result: Any = None
        # Its transaction, and so its sync hooks, are in the engine's task.
        self.is_in_bridge = issubclass(cls, TestCase)

    @classmethod
    def of(cls, test_class: Any) -> ClassRun:
        """
        Return the run of a class, begun if it was not.
        """
        run: ClassRun | None = test_class.__dict__.get("_evergreen_run")
        if run is None:
            run = test_class._evergreen_run = cls(test_class)
        return run

    @property
    def loop_scope(self) -> str:
        scope: str = option(self.cls, "loop_scope")
        return scope

    @property
    def engine(self) -> Engine:
        if self._engine is None or self._engine not in Engine.alive:
            make = functools.partial(Engine, self.cls.loop_factory)
            is_shared = self.loop_scope == "session" and not self.cls.loop_factory
            self._engine = session_engine(make) if is_shared else make()
        return self._engine

    def engine_of_test(self) -> Engine:
        """
        Return the engine for one test: another one for each, if a loop is for a test.
        """
        if self.loop_scope == "test":
            return Engine(self.cls.loop_factory)
        return self.engine

    @contextlib.contextmanager
    def lending_connections_to(self, engine: Engine) -> Iterator[None]:
        """
        Let the engine of a test use the transaction of the class.
        """
        mine = self._engine
        if engine is mine or mine is None or not self.is_in_bridge:
            # The connections of another loop, without a transaction, are of no use.
            yield
            return
        move_scope(mine.task, engine.task, engine.hub)
        try:
            yield
        finally:
            move_scope(engine.task, mine.task, mine.hub)

    @property
    def policy(self) -> Any:
        return self.cls.leftover_policy()

    def call_hook(self, fn: Callable[[], Any]) -> Any:
        """
        Call a sync hook of the class, in the engine if its transaction is there.
        """
        if not self.is_in_bridge or self.engine.is_inside():
            return fn()
        return self.run(functools.partial(self.undo_if_it_fails, fn))

    def undo_if_it_fails(self, fn: Callable[[], Any]) -> Any:
        """
        Return ``fn()``; leave no transaction open where Django would.
        """
        try:
            return self.engine.call(fn)
        except BaseException:
            # unittest calls no other hook after this. Django's own transaction of
            # the class would stay open.
            self.drop_transactions()
            raise

    def drop_transactions(self) -> None:
        for wrapper in list(self.engine.scope.wrappers.values()):
            if wrapper.in_atomic_block:
                wrapper.drop_transaction()
        forget_transactions()

    def run(self, fn: Callable[[], Any]) -> Any:
        """
        Return ``fn()``, run in the engine as code of the class.
        """
        engine = self.engine
        outer, engine.current = engine.current, self.owner
        try:
            return engine.run(fn, self.context)
        finally:
            engine.current = outer

    def call_async(self, coroutine_function: Any) -> None:
        """
        Await an async hook of the class.
        """
        self.run(lambda: self.engine.wait(coroutine_function()))

    def end(self) -> None:
        """
        Forget the run, and close its loop if that was its own.
        """
        if self.cls.__dict__.get("_evergreen_run") is self:
            del self.cls._evergreen_run
        if self._engine in Engine.alive:
            # As Django does, so that the database can be dropped by any runner.
            self._engine.run(close_idle_connections, Context())
        if self._engine is not None and self._engine not in _session:
            self._engine.close()
