"""
A task that notices when something blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

INTERVAL = 0.005


class Heartbeat:
    """
    Beats every few milliseconds; ``late`` is the longest delay in seconds.
    """

    late = 0.0

    async def _beat(self):
        while True:
            expected = time.monotonic() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self.late = max(self.late, time.monotonic() - expected)

    async def __aenter__(self):
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *exc_info):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
