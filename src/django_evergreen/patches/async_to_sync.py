"""
``async_to_sync`` in the bridge: wait here, on this loop, instead of failing.

For asgiref 3.8 to 3.13. Outside the bridge it is asgiref's. There, it refuses
to run in a thread whose event loop runs, as it could only block it.
"""

from __future__ import annotations

import functools
from typing import Any

from ..bridge import await_, in_bridge
from ._patch import Patch


def _make(original: Any) -> Any:
    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if in_bridge():
            return await_(self.awaitable(*args, **kwargs))
        return original(self, *args, **kwargs)

    return call


PATCHES = [Patch("asgiref.sync:AsyncToSync", "__call__", _make)]
