"""
Lets pytest-asyncio, in the bridge, run its tests on the loop that runs there.

It makes a loop for them, and no loop can run inside another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from django_evergreen.bridge import await_, in_bridge


def install() -> None:
    run_on_own_loop = asyncio.Runner.run

    def run(self: asyncio.Runner, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> Any:
        if in_bridge():
            return await_(coro)
        return run_on_own_loop(self, coro, **kwargs)

    asyncio.Runner.run = run  # type: ignore[method-assign]
