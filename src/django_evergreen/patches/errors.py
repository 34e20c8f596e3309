"""
Error responses in the bridge: their views and their log records may block.

For Django 5.2 to 6.1. Under ASGI, Django makes error responses in a thread. So it is
for what nobody has expected, as handlers of log records mail it to the admins. But
pages that are not found are made on the loop, if the project has no view for them.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.core.exceptions import PermissionDenied
from django.http import Http404

from ..bridge import in_bridge, run_sync
from ..db._errands import current_thread
from ._patch import Patch
from ._placed import call_in_thread, placed

# What is logged as a warning at the most.
EXPECTED = (Http404, PermissionDenied)


def _make_response_for_exception(original: Any) -> Any:
    @functools.wraps(original)
    def response_for_exception(request: Any, exc: Exception) -> Any:
        if isinstance(exc, EXPECTED):
            return original(request, exc)
        return call_in_thread(original, request, exc)

    return response_for_exception


def _make_resolve_error_handler(original: Any) -> Any:
    @functools.wraps(original)
    def resolve_error_handler(self: Any, view_type: Any) -> Any:
        callback = original(self, view_type)
        if current_thread.get() is None:
            return callback
        if iscoroutinefunction(callback):
            return async_to_sync(callback)
        return placed(callback)

    return resolve_error_handler


def _make_sync_to_async(original: Any) -> Any:
    """
    Let async middleware have its error responses made as those of other code are, and
    not in a thread that is not of the request.
    """

    @functools.wraps(original)
    def sync_to_async(fn: Any, **options: Any) -> Any:
        if current_thread.get() is None:
            return original(fn, **options)
        return functools.partial(run_sync, fn)

    return sync_to_async


def _make_log_response(original: Any) -> Any:
    @functools.wraps(original)
    def log_response(*args: Any, **kwargs: Any) -> None:
        if in_bridge() and _may_block(kwargs):
            call_in_thread(original, *args, **kwargs)
        else:
            original(*args, **kwargs)

    return log_response


def _may_block(options: dict[str, Any]) -> bool:
    """
    Return whether a handler that gets the record does more than write a line.
    """
    status = options["response"].status_code
    level = logging.ERROR if status >= 500 else logging.WARNING
    logger: logging.Logger | None = options.get("logger") or _logger
    while logger is not None:
        for handler in logger.handlers:
            if level >= handler.level and type(handler).__module__ != "logging":
                return True
        logger = logger.parent if logger.propagate else None
    return False


_logger = logging.getLogger("django.request")

PATCHES = [
    Patch(
        "django.urls.resolvers:URLResolver",
        "resolve_error_handler",
        _make_resolve_error_handler,
    ),
    Patch(
        "django.core.handlers.exception",
        "response_for_exception",
        _make_response_for_exception,
    ),
    Patch("django.core.handlers.exception", "sync_to_async", _make_sync_to_async),
    Patch("django.core.handlers.base", "log_response", _make_log_response),
    Patch("django.core.handlers.exception", "log_response", _make_log_response),
]
