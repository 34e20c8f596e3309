"""
The chain of middleware: Django's synchronous one, whatever its links are.

Django makes the chain. Each link is given to it as sync code that may suspend, or as
a coroutine function, by where it may run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.core.handlers.base import BaseHandler
from django.core.handlers.exception import convert_exception_to_response

from .._placing import (
    Place,
    Placement,
    placement_of,
    placement_of_middleware,
)
from ..bridge import await_, in_bridge, run_sync
from ..conf import options
from ..db._errands import current_errand
from ..patches._placed import call_in_thread, placed
from ..patches.middleware import using_factories

GetResponse = Callable[[Any], Any]


class Chain(BaseHandler):
    """
    A handler whose ``get_response()`` runs in the bridge.
    """

    _middleware_chain: Any

    def load_middleware(self, is_async: bool = False) -> None:
        with using_factories(placed_factory):
            super().load_middleware(is_async=False)
        self._middleware_chain = _by_method(self._middleware_chain)

    def adapt_method_mode(
        self,
        is_async: bool,
        method: Any,
        method_is_async: bool | None = None,
        debug: bool = False,
        name: str | None = None,
    ) -> Any:
        is_hook = method_is_async is None
        if is_hook:
            method_is_async = iscoroutinefunction(method)
        else:
            method = _by_method(method)
        if is_async and not method_is_async:
            if debug:
                # For what it logs.
                super().adapt_method_mode(is_async, method, False, debug, name)
            return markcoroutinefunction(partial(run_sync, method))
        if is_hook and not method_is_async:
            return placed(method)
        return super().adapt_method_mode(is_async, method, method_is_async, debug, name)

    def make_view_atomic(self, view: Any) -> Any:
        placement, view = _placement_of(view), super().make_view_atomic(view)
        if placement.place is Place.AWAITED:
            return _awaited(view)
        # In the thread, so that no request holds a connection while it waits for one.
        return placed(view, placement)

    def check_response(
        self, response: Any, callback: Any, name: str | None = None
    ) -> None:
        super().check_response(response, callback, name)
        # It's rendered next, by sync code: where the view ran, as what a template calls
        # may block as well.
        render = getattr(response, "render", None)
        if render is not None and (
            placement_of(render).place is not Place.LOOP
            or placement_of(callback).place is Place.THREAD
        ):
            response.render = partial(_render, response)

    def get_response_async(self, request: Any) -> Coroutine[Any, Any, Any]:
        return run_sync(self.get_response, request)


def _by_method(link: Any) -> Any:
    """
    Return a link of the chain that calls its middleware by the method ``__call__``.

    To call the object takes a kilobyte of the C stack, which is copied at each switch
    of the greenlet and kept while the request waits; to call the method takes none.
    """
    middleware: Any = getattr(link, "__wrapped__", None)
    is_plain = inspect.isfunction(getattr(type(middleware), "__call__", None))  # noqa: B004
    if not is_plain or iscoroutinefunction(link):
        return link
    return convert_exception_to_response(middleware.__call__)


def _awaited(view: Any) -> Any:
    """
    Return an async view as sync code. ``async_to_sync()`` does the same, at the
    cost of a C call, whose stack is kept while the view waits.
    """

    def wait_for_view(*args: Any, **kwargs: Any) -> Any:
        if in_bridge():
            return await_(view(*args, **kwargs))
        return async_to_sync(view)(*args, **kwargs)

    return wait_for_view


def _placement_of(view: Any) -> Placement:
    try:
        return _known_placement_of(view, options().on_loop)
    except TypeError:
        # It can't be hashed.
        return placement_of(view)


@functools.lru_cache(maxsize=1000)
def _known_placement_of(view: Any, on_loop: tuple[str, ...]) -> Placement:
    return placement_of(view)


def _render(response: Any) -> Any:
    # Only this once, as the response may be kept in a cache.
    del response.render
    if iscoroutinefunction(response.render):
        return await_(response.render())
    return call_in_thread(response.render)


def placed_factory(factory: Any) -> Any:
    """
    Return a factory of middleware for a chain that runs in the bridge.
    """
    place = placement_of_middleware(factory).place
    is_async = getattr(factory, "async_capable", False)
    if place is Place.LOOP or (place is Place.AWAITED and not is_async):
        # Nothing to change; or neither sync nor async, which Django refuses.
        return factory
    return _AsyncOnly(factory) if place is Place.AWAITED else _InThread(factory)


class _AsyncOnly:
    """
    A factory of middleware that could be sync, too.
    """

    sync_capable, async_capable = False, True

    def __init__(self, factory: Any) -> None:
        self._factory = factory

    def __call__(self, get_response: GetResponse) -> Any:
        return self._factory(get_response)


class _InThread:
    """
    A factory of sync middleware that runs in a thread. The rest of the chain, which it
    calls, runs on the loop.
    """

    sync_capable, async_capable = True, False

    def __init__(self, factory: Any) -> None:
        self._factory = factory

    def __call__(self, get_response: GetResponse) -> Any:
        middleware = self._factory(partial(_call_on_loop, get_response))
        return None if middleware is None else _Middleware(middleware)


def _call_on_loop(get_response: GetResponse, request: Any) -> Any:
    errand = current_errand()
    return (
        get_response(request) if errand is None else errand.call(get_response, request)
    )


class _Middleware:
    """
    Middleware that is called in a thread.
    """

    def __init__(self, middleware: Any) -> None:
        self._middleware = middleware

    def __call__(self, request: Any) -> Any:
        return call_in_thread(self._middleware, request)

    def __getattr__(self, name: str) -> Any:
        # Its process_view(), and what else Django looks for.
        return getattr(self._middleware, name)
