"""
Which ASGI application the project has: this package's, or Django's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.utils.module_loading import import_string

from .._placing import Place, name_of
from ..asgi._handler import Handler
from ._code import unknown
from ._findings import Finding

# How far applications are looked for in others.
MAX_DEPTH = 10


def find_application() -> Finding:
    """
    Return what ``ASGI_APPLICATION`` names, or else ``asgi.application`` beside the
    other modules of the project. It's imported.
    """
    path = getattr(settings, "ASGI_APPLICATION", None) or next(_likely_paths(), None)
    if path is None:
        reason = "there is neither ASGI_APPLICATION nor a module asgi in the project"
        return Finding(name="", place=None, reason=reason, details={"kind": "missing"})
    try:
        application = import_string(path)
    except Exception as error:
        return unknown(path, error, details={"kind": "broken"})
    return _examine(path, application)


def _likely_paths() -> Iterator[str]:
    wsgi = getattr(settings, "WSGI_APPLICATION", None) or ""
    modules = [wsgi.rpartition(".")[0], settings.ROOT_URLCONF]
    for module in modules:
        package = module.rpartition(".")[0] if isinstance(module, str) else ""
        if package and _exists(f"{package}.asgi"):
            yield f"{package}.asgi.application"


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def _examine(path: str, application: Any) -> Finding:
    inner = _innermost(application)
    if isinstance(inner, Handler):
        kind, place, reason = "evergreen", Place.LOOP, "it's django_evergreen's"
    elif isinstance(inner, ASGIHandler):
        # Its requests use a thread, or none, depending on what they call.
        kind, place, reason = "django", None, "it's Django's own"
    else:
        kind, place, reason = "other", None, f"it's a {name_of(type(inner))}"
    return Finding(name=path, place=place, reason=reason, details={"kind": kind})


def _innermost(application: Any) -> Any:
    """
    Return what serves HTTP in applications that pass requests on, as far as they tell.
    """
    for _ in range(MAX_DEPTH):
        mapping = getattr(application, "application_mapping", None) or {}
        inner = (
            mapping.get("http")
            or getattr(application, "application", None)
            or getattr(application, "app", None)
        )
        if inner is None or isinstance(application, Handler):
            break
        application = inner
    return application
