"""
As in mode bridge, and the requests of the tests are served as under ASGI.

The test clients, sync and async, have the chain of middleware of
:mod:`django_evergreen.asgi`, and each request has a thread for what may block, as the
views of the tests do. What Django's tests know as its ASGI handler is this package's.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from unittest import mock

from django_evergreen.bridge import in_bridge

from . import Mode, bridge_

# The apps whose tests make requests, or call what serves them.
APPS = frozenset(
    [
        "admin_autodiscover",
        "admin_changelist",
        "admin_custom_urls",
        "admin_default_site",
        "admin_docs",
        "admin_filters",
        "admin_inlines",
        "admin_ordering",
        "admin_registration",
        "admin_utils",
        "admin_views",
        "admin_widgets",
        "asgi",
        "auth_tests",
        "builtin_server",
        "cache",
        "check_framework",
        "conditional_processing",
        "contenttypes_tests",
        "context_processors",
        "csrf_tests",
        "decorators",
        "file_uploads",
        "flatpages_tests",
        "generic_inline_admin",
        "generic_views",
        "handlers",
        "httpwrappers",
        "i18n",
        "logging_tests",
        "messages_tests",
        "middleware",
        "middleware_exceptions",
        "modeladmin",
        "proxy_models",
        "redirects_tests",
        "requests_tests",
        "resolve_url",
        "responses",
        "servers",
        "sessions_tests",
        "shortcuts",
        "signals",
        "signed_cookies_tests",
        "sitemaps_tests",
        "sites_framework",
        "sites_tests",
        "staticfiles_tests",
        "syndication_tests",
        "template_backends",
        "template_tests",
        "test_client",
        "test_client_regress",
        "test_exceptions",
        "test_runner",
        "test_utils",
        "timezones",
        "urlpatterns",
        "urlpatterns_reverse",
        "user_commands",
        "view_tests",
        "wsgi",
    ]
)


class Served:
    """
    Counts the requests.
    """

    requests: ClassVar[int] = 0


def selects(test: Any) -> bool:
    return type(test).__module__.partition(".")[0] in APPS


def around_session(run: Callable[[], Any]) -> Any:
    def session() -> Any:
        with serving():
            return run()

    return bridge_.around_session(session)


@contextlib.contextmanager
def serving() -> Iterator[None]:
    """
    Put the handlers where tests and test clients look for Django's.
    """
    # Not before it's needed, as the other modes are loaded without them.
    # Its handler keeps Django's as a base, as in a project.
    importlib.import_module("django.contrib.staticfiles.handlers")
    from django.core import asgi
    from django.core.handlers import asgi as asgi_handlers
    from django.test import client

    from django_evergreen.asgi._handler import Handler

    handler = _counted(Handler)
    names = {
        (asgi, "ASGIHandler"): handler,
        (asgi_handlers, "ASGIHandler"): handler,
        (client, "ClientHandler"): _client_handler(client.ClientHandler),
        (client, "AsyncClientHandler"): _async_client_handler(
            client.AsyncClientHandler
        ),
    }
    originals = {place: getattr(*place) for place in names}
    _assign(names)
    try:
        yield
    finally:
        _assign(originals)


def _assign(names: dict[tuple[Any, str], Any]) -> None:
    for (module, name), value in names.items():
        setattr(module, name, value)


def _counted(base: Any) -> Any:
    class ASGIHandler(base):  # type: ignore[misc]
        async def handle(self, *args: Any) -> None:
            Served.requests += 1
            await super().handle(*args)

    return ASGIHandler


def _client_handler(base: Any) -> Any:
    from django_evergreen.asgi import _chain

    class ClientHandler(_chain.Chain, base):  # type: ignore[misc]
        def load_middleware(self, is_async: bool = False) -> None:
            with mock.patch.object(_chain, "placement_of_middleware", _placement):
                super().load_middleware(is_async)

        def __call__(self, environ: Any) -> Any:
            # Some tests make requests in threads of their own, without an event loop.
            Served.requests += in_bridge()
            with _thread():
                return super().__call__(environ)

    return ClientHandler


def _placement(factory: Any) -> Any:
    """
    Return where middleware runs, when requests are those of the sync client: with the
    variables of a WSGI server, which Django's own reads in its sync form only.
    """
    from django_evergreen import _placing

    if _placing._has_other_async_form(factory):
        return _placing.DJANGO_S_OWN
    return _placing.placement_of_middleware(factory)


def _async_client_handler(base: Any) -> Any:
    from django_evergreen.asgi._chain import Chain

    class AsyncClientHandler(Chain, base):  # type: ignore[misc]
        async def __call__(self, scope: Any) -> Any:
            Served.requests += 1
            with _thread():
                return await super().__call__(scope)

    return AsyncClientHandler


@contextlib.contextmanager
def _thread() -> Iterator[None]:
    """
    Give a request its thread, as the ASGI handler does.
    """
    from django_evergreen.db._errands import current_thread
    from django_evergreen.db._request_threads import RequestThread

    thread = RequestThread()
    token = current_thread.set(thread)
    try:
        yield
    finally:
        current_thread.reset(token)
        thread.release()


MODE = Mode(
    title="requests in the bridge, by our handler",
    around_session=around_session,
    selects=selects,
    waits=bridge_.MODE.waits,
    requests=lambda: Served.requests,
)
