"""
Django's middleware whose async form reads something else than its sync one.
"""

from __future__ import annotations

import pytest
from django.http import HttpResponse

from .exchange import request, site

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.RemoteUserMiddleware",
]
REMOTE = ["django.contrib.auth.backends.RemoteUserBackend"]


def sync(request):
    return HttpResponse(request.user.get_username())


async def asynchronous(request):
    # Not auser(), which Django 5.2 leaves as it was.
    return HttpResponse(request.user.get_username())


@pytest.mark.parametrize("view", [sync, asynchronous])
async def test_remote_user_is_the_one_of_the_header(db, view):
    """
    Under ASGI there is no variable of the server, which the sync form reads.
    """
    headers = [(b"remote-user", b"ada")]
    with site(view, middleware=MIDDLEWARE, AUTHENTICATION_BACKENDS=REMOTE) as asgi:
        reply = await request(asgi, headers=headers)
    assert reply.body == b"ada"
