"""
In which request code runs, where its frames don't tell: below middleware that runs in
a thread, a view is in another task than the handler.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished, request_started

# "GET /books/", or "".
current_request: ContextVar[str] = ContextVar("django_evergreen_request", default="")


def _begin(scope: Any = None, environ: Any = None, **kwargs: Any) -> None:
    if scope is not None:
        # Of ASGI, or what Django's AsyncClient has for it.
        query: Any = scope.get("query_string") or ""
        method, path = scope.get("method"), scope.get("path")
    elif environ is None:
        # Sent by a test.
        return
    else:
        query = environ.get("QUERY_STRING") or ""
        method, path = environ.get("REQUEST_METHOD"), environ.get("PATH_INFO")
    if isinstance(query, bytes):
        query = query.decode("latin-1")
    current_request.set(f"{method} {path}{'?' * bool(query)}{query}")


def _end(**kwargs: Any) -> None:
    current_request.set("")


request_started.connect(_begin, dispatch_uid=__name__)
request_finished.connect(_end, dispatch_uid=__name__)
