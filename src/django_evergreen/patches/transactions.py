"""
``transaction.atomic``: as ``async with``, and on coroutine functions.

For Django 5.2 to 6.1. ``Atomic`` is what ``atomic()`` returns. Its own methods
do the work; :mod:`django_evergreen.db._atomic` is called around them.
"""

from __future__ import annotations

import functools
from types import AsyncGeneratorType, CoroutineType
from typing import Any, NoReturn

from asgiref.sync import iscoroutinefunction
from django.db.transaction import TransactionManagementError

from ..bridge import run_sync
from ..bridge._loops import running_loop
from ..db._atomic import caller, enter, exit_
from ._patch import Patch
from .atomic_requests import AsyncView

ATOMIC = "django.db.transaction:Atomic"

# What a call of a coroutine function, or of an async generator, returns.
UNFINISHED = (CoroutineType, AsyncGeneratorType)


def _make_enter(original: Any) -> Any:
    @functools.wraps(original)
    def __enter__(self: Any) -> Any:  # noqa: N807
        return enter(original, self)

    return __enter__


def _make_exit(original: Any) -> Any:
    @functools.wraps(original)
    def __exit__(self: Any, exc_type: Any, error: Any, traceback: Any) -> Any:  # noqa: N807
        return exit_(original, self, error)

    return __exit__


def _make_aenter(missing: None) -> Any:
    async def __aenter__(self: Any) -> None:  # noqa: N807
        await run_sync(enter, ENTER.original, self, caller(1))

    return __aenter__


def _make_aexit(missing: None) -> Any:
    async def __aexit__(self: Any, *exc_info: Any) -> Any:  # noqa: N807
        return await run_sync(self.__exit__, *exc_info)

    return __aexit__


def _make_call(original: Any) -> Any:
    @functools.wraps(original)
    def __call__(self: Any, fn: Any) -> Any:  # noqa: N807
        if isinstance(fn, AsyncView):
            return AsyncView(__call__(self, fn.view))
        if not iscoroutinefunction(fn):
            return original(self, _returning_no_coroutine(fn))

        @functools.wraps(fn)
        async def in_atomic_block(*args: Any, **kwargs: Any) -> Any:
            async with self:
                return await fn(*args, **kwargs)

        return in_atomic_block

    return __call__


def _returning_no_coroutine(fn: Any) -> Any:
    """
    Return a sync function which raises when it returns what has still to run: that
    would be outside of the block, and so of the transaction, without a word.
    """

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = fn(*args, **kwargs)
        if isinstance(result, UNFINISHED) and running_loop() is not None:
            _refuse(fn, result)
        return result

    return call


def _refuse(fn: Any, result: Any) -> NoReturn:
    if isinstance(result, CoroutineType):
        result.close()
    name = getattr(fn, "__qualname__", repr(fn))
    msg = (
        f"atomic() decorates {name}, which is no coroutine function, but returned "
        f"{result!r}. The block would end before that begins, so it was not run. "
        "Decorate the coroutine function itself: of a class-based view not dispatch(), "
        "but get(), post() and so on."
    )
    raise TransactionManagementError(msg)


ENTER = Patch(ATOMIC, "__enter__", _make_enter)
PATCHES = [
    ENTER,
    Patch(ATOMIC, "__exit__", _make_exit),
    Patch(ATOMIC, "__aenter__", _make_aenter, adds=True),
    Patch(ATOMIC, "__aexit__", _make_aexit, adds=True),
    Patch(ATOMIC, "__call__", _make_call, adds=True),
]
