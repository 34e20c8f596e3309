"""
``async_unsafe``: silent in the bridge, and with a remedy in bare async code.

For Django 5.2 to 6.1. The guard looks for a running event loop, which it finds
in the bridge too. Both of its names are looked up in ``django.utils.asyncio``
when it's called, so one assignment each serves all decorated functions.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

from greenlet import getcurrent

from ..bridge._greenlets import BridgeGreenlet
from ._patch import Patch

REMEDY = (
    " In async code, call the a-method (`await Model.objects.aget(...)`), open "
    "transactions by `async with transaction.atomic()`, run the sync code by `await "
    "run_sync(function)`, or decorate the coroutine function with @portal, both from "
    "django_evergreen.bridge."
)

# How much of a statement is shown.
MAX_SQL = 300

_DJANGO_DB = str(Path("django/db/models"))


def _make_get_running_loop(original: Any) -> Any:
    def get_running_loop() -> Any:
        # First, as it raises where sync Django runs, which shall not pay for tasks.
        loop = original()
        if type(getcurrent()) is BridgeGreenlet:
            # How asyncio says that none is running.
            raise RuntimeError
        return loop

    return get_running_loop


def _make_error(original: Any) -> Any:
    def synchronous_only_operation(message: str) -> Exception:
        frame = sys._getframe(1)
        what = _field_being_read(frame) + _statement_being_sent(frame)
        return original(message + what + REMEDY)  # type: ignore[no-any-return]

    return synchronous_only_operation


def _field_being_read(frame: FrameType | None) -> str:
    """
    Return what to say about the lazy field that caused the query, if one did.
    """
    while frame is not None:
        code, names = frame.f_code, frame.f_locals
        if code.co_name == "__get__" and _DJANGO_DB in code.co_filename:
            return _describe(names.get("self"), names.get("instance"))
        frame = frame.f_back
    return ""


def _statement_being_sent(frame: FrameType | None) -> str:
    """
    Return the SQL of the query that was refused, if it's known yet.
    """
    while frame is not None:
        code, sql = frame.f_code, frame.f_locals.get("sql")
        if code.co_name == "execute_sql" and isinstance(sql, str):
            return f" The query was: {sql[:MAX_SQL]}{'...' * (len(sql) > MAX_SQL)}."
        frame = frame.f_back
    return ""


def _describe(descriptor: Any, instance: Any) -> str:
    field = getattr(descriptor, "field", None) or getattr(
        getattr(descriptor, "related", None), "field", None
    )
    if instance is None or field is None:
        return ""
    related = getattr(descriptor, "related", None)
    name = related.get_accessor_name() if related is not None else field.name
    what = f" {type(instance).__name__}.{name} was not loaded with the object"
    if field.is_relation:
        return f"{what}: load it by select_related({name!r})."
    return f"{what}, as it was deferred: load it in the query."


PATCHES = [
    Patch("django.utils.asyncio", "get_running_loop", _make_get_running_loop),
    Patch("django.utils.asyncio", "SynchronousOnlyOperation", _make_error),
]
