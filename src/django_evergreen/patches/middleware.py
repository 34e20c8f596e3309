"""
The request: Django's own sync middleware, views and template rendering.

For Django 5.2 to 6.1. Under ASGI, Django calls each of them in a thread. Its
own run in the bridge, and so does what the project declares; the code of others may
block, and keeps its thread.

``load_middleware()`` imports factories of middleware by a name in its module, where
:mod:`django_evergreen.asgi` puts its own around them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished
from django.http.response import HttpResponseBase

from .._placing import runs_on_loop
from ._call_sites import call_sites
from ._patch import Patch
from .signals import need_no_thread

_placed_factory: ContextVar[Callable[[Any], Any] | None] = ContextVar(
    "django_evergreen_placed_factory", default=None
)


@contextlib.contextmanager
def using_factories(placed_factory: Callable[[Any], Any]) -> Iterator[None]:
    """
    Have each factory of middleware replaced by ``placed_factory(factory)``.
    """
    token = _placed_factory.set(placed_factory)
    try:
        yield
    finally:
        _placed_factory.reset(token)


def _make_import_string(original: Any) -> Any:
    def import_string(dotted_path: str) -> Any:
        factory = original(dotted_path)
        placed_factory = _placed_factory.get()
        return factory if placed_factory is None else placed_factory(factory)

    return import_string


def _runs_here(fn: Any) -> bool:
    response = getattr(fn, "__self__", None)
    if isinstance(response, HttpResponseBase) and fn.__name__ == "close":
        # It sends request_finished.
        return runs_on_loop(fn) and need_no_thread(
            request_finished, response._handler_class
        )
    return runs_on_loop(fn)


PATCHES = [
    call_sites("django.utils.deprecation", runs_on_loop),
    call_sites("django.core.handlers.base", runs_on_loop),
    call_sites("django.core.handlers.asgi", _runs_here),
    Patch("django.core.handlers.base", "import_string", _make_import_string),
]
