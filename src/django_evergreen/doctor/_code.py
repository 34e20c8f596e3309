"""
Where middleware, receivers and views run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import MethodType
from typing import Any

from django.conf import settings
from django.core.signals import request_finished, request_started
from django.urls import get_resolver
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from .._placing import (
    DECLARED_IN_THREAD,
    Place,
    Placement,
    module_of,
    name_of,
    placement_of,
    placement_of_middleware,
)
from .._remedies import path_to_declare
from ..asgi._handler import Handler
from ..patches.signals import need_no_thread
from ._findings import Finding

# What the chain calls by itself.
HOOKS = ("process_view", "process_template_response", "process_exception")
# What MiddlewareMixin calls by itself when it's awaited.
HOOKS_OF_MIXIN = ("process_request", "process_response")

# The signals that have a rule of their own. Other receivers run with their sender.
SIGNALS = {"request_started": request_started, "request_finished": request_finished}

# The error views that are not made in a thread anyway.
ERROR_VIEWS = (403, 404)


def found(fn: Any, placement: Placement, **options: Any) -> Finding:
    """
    Return the finding about code that has been placed.
    """
    is_declared = placement is DECLARED_IN_THREAD
    if placement.place is Place.THREAD and not is_declared:
        remedy = path_to_declare(fn)
        options = {"remedy": remedy, "module": module_of(fn), **options}
    return Finding(
        name=name_of(fn), place=placement.place, reason=placement.reason, **options
    )


def unknown(name: str, error: Exception, **options: Any) -> Finding:
    """
    Return the finding about what can't be loaded.
    """
    reason = f"it can't be loaded: {type(error).__name__}: {error}"
    return Finding(name=name, place=None, reason=reason, **options)


def find_middleware() -> Iterator[Finding]:
    for path in settings.MIDDLEWARE:
        try:
            factory = import_string(path)
        except Exception as error:
            yield unknown(path, error)
            continue
        placement = placement_of_middleware(factory)
        hooks = tuple(_find_hooks(factory, placement.place))
        yield found(factory, placement, label=path, hooks=hooks)


def _find_hooks(factory: Any, place: Place) -> Iterator[Finding]:
    names: tuple[str, ...] = HOOKS
    if place is Place.AWAITED and _is_awaited_by_mixin(factory):
        names = HOOKS_OF_MIXIN + HOOKS
    for name in names:
        method = getattr(factory, name, None)
        if method is not None:
            bound = _bind(method, factory)
            hook = found(bound, placement_of(bound), label=name)
            # To declare the class takes the hooks beside it along.
            yield replace(hook, remedy=hook.remedy.rpartition(".")[0])


def _is_awaited_by_mixin(factory: Any) -> bool:
    call: Any = MiddlewareMixin.__acall__
    return getattr(factory, "__acall__", None) is call


def _bind(method: Any, factory: Any) -> Any:
    # Marks may be on the class. Middleware isn't made for this: that may do anything.
    try:
        return MethodType(method, object.__new__(factory))
    except TypeError:
        return method


def find_receivers() -> Iterator[Finding]:
    for label, signal in SIGNALS.items():
        receivers, async_receivers = signal._live_receivers(Handler)
        needs_thread = not need_no_thread(signal, Handler)
        for receiver in itertools.chain(receivers, async_receivers):
            placement = placement_of(receiver)
            if needs_thread and placement.place is Place.LOOP:
                reason = f"another receiver of {label} does"
                placement = Placement(Place.THREAD, reason)
                # It's not this one that has to be declared.
                yield found(receiver, placement, label=label, remedy="")
            else:
                yield found(receiver, placement, label=label)


def find_views() -> Iterator[Finding]:
    try:
        resolver = get_resolver()
        views = [*_walk(resolver.url_patterns, ""), *_error_views(resolver)]
    except Exception as error:
        # Django's own checks tell more about it.
        yield unknown(str(settings.ROOT_URLCONF), error)
        return
    for label, view in views:
        yield found(view, placement_of(view), label=label)


def _walk(patterns: Iterable[Any], base: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        path = base + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _walk(pattern.url_patterns, path)
        else:
            yield path, pattern.callback


def _error_views(resolver: Any) -> Iterator[tuple[str, Any]]:
    for status in ERROR_VIEWS:
        view = resolver.resolve_error_handler(status)
        if module_of(view) != "django.views.defaults":
            yield f"handler{status}", view
