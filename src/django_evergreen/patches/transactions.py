"""
``transaction.atomic``: as ``async with``, and on coroutine functions.

For Django 5.2 to 6.1. ``Atomic`` is what ``atomic()`` returns. Its own methods
do the work; :mod:`django_evergreen.db._atomic` is called around them.
"""

from __future__ import annotations

import functools
from typing import Any

from asgiref.sync import iscoroutinefunction

from ..bridge import run_sync
from ..db._atomic import caller, enter, exit_
from ._patch import Patch
from .atomic_requests import AsyncView

ATOMIC = "django.db.transaction:Atomic"


def _make_enter(original: Any) -> Any:
    @functools.wraps(original)
    def __enter__(self: Any) -> Any:  # noqa: N807
        return enter(original, self, caller(1))

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
            return original(self, fn)

        @functools.wraps(fn)
        async def in_atomic_block(*args: Any, **kwargs: Any) -> Any:
            async with self:
                return await fn(*args, **kwargs)

        return in_atomic_block

    return __call__


ENTER = Patch(ATOMIC, "__enter__", _make_enter)
PATCHES = [
    ENTER,
    Patch(ATOMIC, "__exit__", _make_exit),
    Patch(ATOMIC, "__aenter__", _make_aenter, adds=True),
    Patch(ATOMIC, "__aexit__", _make_aexit, adds=True),
    Patch(ATOMIC, "__call__", _make_call, adds=True),
]
