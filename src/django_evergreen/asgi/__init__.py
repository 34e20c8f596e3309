"""
Requests on the event loop: ASGI at the cost of WSGI, with no thread per request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._placing import in_thread, on_loop

if TYPE_CHECKING:
    from ._handler import Handler

__all__ = ["get_asgi_application", "in_thread", "on_loop"]


def get_asgi_application() -> Handler:
    """
    Return the ASGI application of this project.

    Takes the place of ``django.core.asgi.get_asgi_application``, and of nothing
    else: settings, middleware and views stay as they are. Besides requests, it
    serves the lifespan protocol: it opens the pools of databases at start-up, and
    closes them at shutdown.

    Suspends: no. Runs in: any thread, once.
    """
    import django  # not before it's needed: it sets Django up

    django.setup(set_prefix=False)
    from ._handler import Handler  # needs the settings

    return Handler()


for _public in (in_thread, on_loop):
    _public.__module__ = __name__
