"""
``django.db.connections``: each task has connections of its own.

For Django 5.2 to 6.1. The handler keeps wrappers in a thread-critical
``asgiref.local.Local``, whose content tasks inherit from each other, so they
would share a connection. Threads without an event loop keep using that one.
"""

from __future__ import annotations

from typing import Any

from ..db._scopes import ScopedStorage
from ._patch import Patch


def _make(original: Any) -> Any:
    return ScopedStorage(original)


PATCHES = [Patch("django.db:connections", "_connections", _make)]
