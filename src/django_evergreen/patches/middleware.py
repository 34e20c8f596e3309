"""
The request: Django's own sync middleware, views and template rendering.

For Django 5.2 to 6.1. Under ASGI, Django calls each of them in a thread. Its
own run in the bridge; those of others may block, and keep their thread.
"""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase

from ._call_sites import call_sites, is_django_s
from .signals import may_finish_request


def _runs_here(fn: Any) -> bool:
    response = getattr(fn, "__self__", None)
    if isinstance(response, HttpResponseBase) and fn.__name__ == "close":
        # It sends request_finished.
        return is_django_s(fn) and may_finish_request(response._handler_class)
    return is_django_s(fn)


PATCHES = [
    call_sites("django.utils.deprecation", is_django_s),
    call_sites("django.core.handlers.base", is_django_s),
    call_sites("django.core.handlers.asgi", _runs_here),
]
