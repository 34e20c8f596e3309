"""
``async_to_sync`` in the bridge: wait here, on this loop, instead of failing.

For asgiref 3.8 to 3.13. Outside the bridge it is asgiref's. There, it refuses
to run in a thread whose event loop runs, as it could only block it. In the thread of
a request, the task of that awaits.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any

from ..bridge import await_, in_bridge
from ..db._errands import current_errand
from ._patch import Patch

# Whether a thread waits in async_to_sync() for the code that runs in this
# context. asgiref knows it too, but takes as long to tell as a whole switch.
has_sync_parent: ContextVar[bool] = ContextVar(
    "django_evergreen_has_sync_parent", default=False
)


def _make(original: Any) -> Any:
    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if in_bridge():
            return await_(self.awaitable(*args, **kwargs))
        if (errand := current_errand()) is not None:
            return errand.call(lambda: await_(self.awaitable(*args, **kwargs)))
        token = has_sync_parent.set(True)
        try:
            return original(self, *args, **kwargs)
        finally:
            has_sync_parent.reset(token)

    return call


PATCHES = [Patch("asgiref.sync:AsyncToSync", "__call__", _make)]
