"""
The one place that knows which of the two stacks runs the example.

``EXAMPLE_STACK=evergreen`` (the default) or ``EXAMPLE_STACK=stock``. A project of
your own needs no such file: it imports ``run_sync`` from ``django_evergreen.bridge``,
and ``get_asgi_application`` from ``django_evergreen.asgi``.
"""

from __future__ import annotations

import os

from django.core.exceptions import ImproperlyConfigured

STACK = os.environ.get("EXAMPLE_STACK", "evergreen")

if STACK == "evergreen":
    from django_evergreen.asgi import get_asgi_application
    from django_evergreen.bridge import run_sync

    INSTALLED_APPS = ["django_evergreen"]
    BACKENDS = "django_evergreen.db.backends"
    TEST_RUNNER = "django_evergreen.test.runner.DiscoverRunner"
elif STACK == "stock":
    from asgiref.sync import sync_to_async
    from django.core.asgi import get_asgi_application

    async def run_sync(function, *args, **kwargs):
        """
        Run ``function`` in a thread, which is all that stock Django can do.
        """
        return await sync_to_async(function)(*args, **kwargs)

    INSTALLED_APPS = []
    BACKENDS = "django.db.backends"
    TEST_RUNNER = "django.test.runner.DiscoverRunner"
else:
    msg = f"EXAMPLE_STACK is {STACK!r}. Set it to 'evergreen' or to 'stock'."
    raise ImproperlyConfigured(msg)

__all__ = [
    "BACKENDS",
    "INSTALLED_APPS",
    "STACK",
    "TEST_RUNNER",
    "get_asgi_application",
    "run_sync",
]
