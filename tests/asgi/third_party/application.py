"""
The project under ASGI, once for each of Django's session engines.

The header ``X-Session-Engine`` chooses one.
"""

from __future__ import annotations

import functools

import django
from django.conf import settings
from django.test import override_settings

django.setup()

if settings.PROJECT["stock"]:
    from django.core.asgi import get_asgi_application
else:
    from django_evergreen.asgi import get_asgi_application


@functools.cache
def application_with(engine):
    engine = f"django.contrib.sessions.backends.{engine}"
    # It's read by the middleware, when that is made.
    with override_settings(SESSION_ENGINE=engine):
        return get_asgi_application()


async def application(scope, receive, send):
    engine = dict(scope.get("headers", [])).get(b"x-session-engine", b"db")
    await application_with(engine.decode())(scope, receive, send)
