"""
Where sync code runs under ASGI: on the event loop, or in a thread, as it may block.

Safe by default, and fast when declared: Django's own code runs on the loop, and so
does what the project says not to block, by ``EVERGREEN["ON_LOOP"]`` or ``@on_loop``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple, TypeVar

from asgiref.sync import iscoroutinefunction
from django.utils.deprecation import MiddlewareMixin

from .conf import options

F = TypeVar("F", bound=Callable[..., Any])

# What the decorators leave on a function or class.
MARK = "evergreen_placement"

# Django's, and this package's.
OWN = ("django.", "django_evergreen.")


class Place(enum.Enum):
    LOOP = "on the loop"
    AWAITED = "on the loop, awaited"
    THREAD = "in a thread"


class Placement(NamedTuple):
    place: Place
    # Ends the sentence that begins with "as".
    reason: str


DECLARED_ON_LOOP = Placement(Place.LOOP, "it's decorated with @on_loop")
DECLARED_IN_THREAD = Placement(Place.THREAD, "it's decorated with @in_thread")
ASYNC = Placement(Place.AWAITED, "it's async")
DJANGO_S_OWN = Placement(Place.LOOP, "it's django's own")
EVERGREEN_S_OWN = Placement(Place.LOOP, "it's django_evergreen's own")


def on_loop(fn: F) -> F:
    """
    Declare that sync code doesn't block, and so runs on the event loop.

    For views, middleware and receivers that wait only for the database, the cache,
    or by :func:`~django_evergreen.bridge.await_`. Returns what it's given.

    Suspends: no. Runs in: any thread.
    """
    fn.evergreen_placement = DECLARED_ON_LOOP  # type: ignore[attr-defined]
    return fn


def in_thread(fn: F) -> F:
    """
    Declare that sync code may block, and so runs in a thread, whatever the settings
    say. Returns what it's given.

    Suspends: no. Runs in: any thread.
    """
    fn.evergreen_placement = DECLARED_IN_THREAD  # type: ignore[attr-defined]
    return fn


def placement_of(fn: Any) -> Placement:
    """
    Return where a view, a receiver or a method of middleware runs.
    """
    if iscoroutinefunction(fn) or iscoroutinefunction(type(fn).__call__):
        return ASYNC
    return _declared(fn) or Placement(
        Place.THREAD, f"it's sync code of {name_of(fn).partition('.')[0]}"
    )


def placement_of_middleware(factory: Any) -> Placement:
    """
    Return where middleware runs that is made by a class or function.
    """
    if not getattr(factory, "sync_capable", True):
        return Placement(Place.AWAITED, "it's async only")
    declared = _declared(factory)
    if declared is DJANGO_S_OWN and _has_other_async_form(factory):
        return Placement(Place.AWAITED, "its async form is another than the sync one")
    if declared is not None:
        return declared
    if getattr(factory, "async_capable", False):
        return Placement(Place.AWAITED, "it's async-capable")
    return Placement(Place.THREAD, "it's sync only")


def _has_other_async_form(factory: Any) -> bool:
    """
    Return whether middleware does more than MiddlewareMixin when it's awaited: Django's
    RemoteUserMiddleware reads the user elsewhere then, before Django 6.1.
    """
    form = getattr(factory, "__acall__", MiddlewareMixin.__acall__)
    return form is not MiddlewareMixin.__acall__


def runs_on_loop(fn: Any) -> bool:
    """
    Return whether sync code is known not to block.
    """
    declared = _declared(fn)
    return declared is not None and declared.place is Place.LOOP


def _declared(fn: Any) -> Placement | None:
    if type(fn) is not FunctionType:
        while isinstance(fn, partial):
            fn = fn.func
    mark: Placement | None = getattr(fn, MARK, None) or _mark_of_class(fn)
    if mark is not None:
        return mark
    module = module_of(fn)
    if module.startswith(OWN):
        return DJANGO_S_OWN if module.startswith("django.") else EVERGREEN_S_OWN
    for prefix in options().on_loop:
        if f"{name_of(fn)}.".startswith(f"{prefix}."):
            return Placement(Place.LOOP, f'of {prefix!r} in EVERGREEN["ON_LOOP"]')
    return None


def _mark_of_class(fn: Any) -> Placement | None:
    """
    Return the mark of the class of a view or of a method, if it has one.
    """
    cls = getattr(fn, "view_class", None)
    if cls is None:
        owner = getattr(fn, "__self__", None)
        if owner is None:
            return getattr(type(fn), MARK, None)
        cls = owner if isinstance(owner, type) else type(owner)
    return getattr(cls, MARK, None)


def module_of(fn: Any) -> str:
    """
    Return the name of the module that defines a function, method, class or object.
    """
    while isinstance(fn, partial):
        fn = fn.func
    return getattr(fn, "__module__", None) or type(fn).__module__


def name_of(fn: Any) -> str:
    """
    Return the dotted path of a function, class or object.
    """
    while isinstance(fn, partial):
        fn = fn.func
    fn = getattr(fn, "view_class", fn)
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    return f"{module_of(fn)}.{name}"
