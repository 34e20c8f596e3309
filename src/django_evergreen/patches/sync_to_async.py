"""
``sync_to_async`` in a request: in its thread, with the connections of the task.

For asgiref 3.8 to 3.13. There, it would start a thread for each request, whose
queries are in no transaction of the request. Outside of the requests that
:mod:`django_evergreen.asgi` serves it is asgiref's.
"""

from __future__ import annotations

import functools
from collections.abc import Coroutine
from typing import Any

from ..bridge import run_sync
from ..db._errands import current_thread
from ._patch import Patch
from .async_to_sync import has_sync_parent


def _make(original: Any) -> Any:
    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        thread = current_thread.get()
        if (
            thread is None
            or thread.is_over
            or not self._thread_sensitive
            or getattr(self, "context", None) is not None
            or has_sync_parent.get()
        ):
            return original(self, *args, **kwargs)  # type: ignore[no-any-return]
        return run_sync(thread.perform, self.func, *args, **kwargs)

    return call


PATCHES = [Patch("asgiref.sync:SyncToAsync", "__call__", _make)]
