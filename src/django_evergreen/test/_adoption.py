"""
Async tests of a project's existing classes run on the engine, without an edit.

A class of ``django.test`` that has an async test gets :class:`AsyncTestMixin` as its
first base. It stays the same class, so that its tests can be pickled. Others are not
touched, but refused if they have a hook that nobody would await.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterable
from typing import Any
from unittest import IsolatedAsyncioTestCase

from django.test import SimpleTestCase
from django.test.utils import iter_test_cases

from ._cases import AsyncTestMixin
from ._classes import SYNC_HOOKS, prepare

logger = logging.getLogger("django_evergreen.test")

ASYNC_HOOKS = (
    "asyncSetUp",
    "asyncTearDown",
    "asyncSetUpClass",
    "asyncTearDownClass",
    "setUpTestData",
)

# Classes that were given the base.
_adopted: set[Any] = set()


def adopt_tests(tests: Iterable[Any]) -> None:
    """
    Adopt the classes of tests, or of a suite of them. Suspends: no.
    """
    classes = {
        type(test)
        for test in iter_test_cases(tests)
        if isinstance(test, SimpleTestCase)
        # Has a loop of its own for each test.
        and not isinstance(test, IsolatedAsyncioTestCase)
    }
    # The bases of others first, as those inherit what they are given.
    for cls in sorted(classes, key=lambda cls: len(cls.__mro__)):
        adopt(cls)


def adopt(cls: Any) -> None:
    """
    Have the tests of a class run on the engine if any of them is async.
    """
    if message := _never_awaited(cls):
        _refuse(cls, message)
        return
    if issubclass(cls, AsyncTestMixin) or (is_async(cls) and _insert(cls)):
        # Done already for those that were made from the mixin.
        prepare(cls)


def is_async(cls: Any) -> bool:
    """
    Return whether a class has something that only a loop can run.
    """
    names = [name for name in dir(cls) if name.startswith("test") or name == "runTest"]
    return any(
        inspect.iscoroutinefunction(inspect.unwrap(hook))
        for name in (*names, *ASYNC_HOOKS)
        if callable(hook := getattr(cls, name, None))
    )


def _insert(cls: Any) -> bool:
    # A base after the class that inherits from it: the first must be before it.
    inheriting = [other for other in _adopted if issubclass(other, cls)]
    for other in inheriting:
        other.__bases__ = _without_mixin(other)
        _adopted.discard(other)
    try:
        cls.__bases__ = (AsyncTestMixin, *cls.__bases__)
    except TypeError as error:
        logger.warning(
            "%s.%s runs its async tests in Django's way, as it can't be given a base: "
            "%s",
            cls.__module__,
            cls.__qualname__,
            error,
        )
        return False
    _adopted.add(cls)
    return True


def _without_mixin(cls: Any) -> tuple[Any, ...]:
    return tuple(base for base in cls.__bases__ if base is not AsyncTestMixin)


def _never_awaited(cls: Any) -> str:
    """
    Return the message about a coroutine function in the place of a sync hook, or "".
    """
    for name, remedy in SYNC_HOOKS.items():
        hook = getattr(cls, name)
        if inspect.iscoroutinefunction(hook):
            code = inspect.unwrap(getattr(hook, "__func__", hook)).__code__
            place = f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}"
            return (
                f"{cls.__qualname__}.{name}() is a coroutine function, which nobody "
                f"would await: call it `async def {remedy}()`. It's at {place}."
            )
    return ""


def _refuse(cls: Any, message: str) -> None:
    """
    Let the tests of a class fail instead of running without their set-up.
    """

    def refuse(cls: Any) -> None:
        raise TypeError(message)

    cls.setUpClass = classmethod(refuse)
