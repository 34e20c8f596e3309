"""
What Django's own sync code does besides waiting for the database: in a thread.

For Django 5.2 to 6.1. Its views run in the bridge, and some of them hash a password,
send a mail or store a file. Each is slow or waits for somebody else, so in the bridge
each has a thread; elsewhere nothing changes.
"""

from __future__ import annotations

import functools
from typing import Any

from django.contrib.auth import hashers

from ..bridge import in_bridge, offload, portal
from ..db._errands import current_thread
from ._patch import Patch
from ._placed import call_in_thread

AUTH = "django.contrib.auth"
BASE_USER = "django.contrib.auth.base_user"
BACKEND = "django.contrib.auth.backends:ModelBackend"

# What takes no time: for tests.
QUICK_HASHERS = ("md5", "unsalted_md5")
QUICK_MAIL = tuple(
    f"django.core.mail.backends.{name}" for name in ("console", "dummy", "locmem")
)


def _make_slow(original: Any) -> Any:
    @functools.wraps(original)
    def hash_in_thread(password: Any, *args: Any, **kwargs: Any) -> Any:
        if not in_bridge() or hashers.get_hasher().algorithm in QUICK_HASHERS:
            return original(password, *args, **kwargs)
        return offload(original, password, *args, **kwargs)

    return hash_in_thread


def _make_waiting(original: Any) -> Any:
    @functools.wraps(original)
    def wait_in_thread(*args: Any, **kwargs: Any) -> Any:
        if not in_bridge():
            return original(*args, **kwargs)
        # A mail backend may query.
        call = offload if current_thread.get() is None else call_in_thread
        return call(original, *args, **kwargs)

    return wait_in_thread


def _make_mail_backend(original: Any) -> Any:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        if in_bridge() and type(self).__module__ not in QUICK_MAIL:
            # Not the function that calls it: Django looks at who has called that.
            self.send_messages = _make_waiting(self.send_messages)

    return __init__


PATCHES = [
    Patch("django.contrib.auth.hashers", "verify_password", _make_slow),
    Patch("django.contrib.auth.hashers", "make_password", _make_slow),
    Patch(BASE_USER, "make_password", _make_slow, app=AUTH),
    Patch("django.contrib.auth.models", "make_password", _make_slow, app=AUTH),
    # Coroutines that call these on the loop, in Django 5.2 and the last in 6.0 too.
    Patch("django.contrib.auth.hashers", "acheck_password", portal, until=(6, 0)),
    Patch(BASE_USER, "acheck_password", portal, app=AUTH, until=(6, 0)),
    Patch(BACKEND, "aauthenticate", portal, app=AUTH, until=(6, 1)),
    Patch(
        "django.core.mail.backends.base:BaseEmailBackend",
        "__init__",
        _make_mail_backend,
    ),
    Patch("django.core.files.storage.base:Storage", "save", _make_waiting),
]
