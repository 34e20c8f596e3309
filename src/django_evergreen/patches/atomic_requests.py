"""
``ATOMIC_REQUESTS`` with async views.

For Django 5.2 to 6.1. ``BaseHandler.make_view_atomic`` refuses coroutine
functions. It is given a callable that doesn't look like one, and ``atomic()``
knows what that is.
"""

from __future__ import annotations

import functools
from typing import Any

from asgiref.sync import iscoroutinefunction

from ._patch import Patch


class AsyncView:
    """
    An async view, while Django wraps it in ``atomic()``.
    """

    __slots__ = ("_non_atomic_requests", "view")

    def __init__(self, view: Any) -> None:
        # What Django asks for. Another attribute marks a coroutine function.
        self._non_atomic_requests = getattr(view, "_non_atomic_requests", ())
        self.view = view


def _make(original: Any) -> Any:
    @functools.wraps(original)
    def make_view_atomic(self: Any, view: Any) -> Any:
        if not iscoroutinefunction(view):
            return original(self, view)
        return original(self, AsyncView(view)).view

    return make_view_atomic


PATCHES = [
    Patch("django.core.handlers.base:BaseHandler", "make_view_atomic", _make),
]
