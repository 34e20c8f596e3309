"""
A task that notices when something blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from pathlib import Path

INTERVAL = 0.005
SCHEDSTAT = Path("/proc/thread-self/schedstat")


def seconds_without_a_core():
    """
    Return how long this thread has waited for a core, as far as Linux tells.

    Twenty servers that start at once on two cores make everybody late. That is
    not what the loop's own thread does.
    """
    if not SCHEDSTAT.exists():
        return 0.0
    return int(SCHEDSTAT.read_text().split()[1]) / 1e9


class Heartbeat:
    """
    Beats every few milliseconds; ``late`` is the longest delay in seconds.
    """

    late = 0.0

    async def _beat(self):
        while True:
            waited = seconds_without_a_core()
            expected = time.monotonic() + INTERVAL
            await asyncio.sleep(INTERVAL)
            late = time.monotonic() - expected
            self.late = max(self.late, late - (seconds_without_a_core() - waited))

    async def __aenter__(self):
        # A full collection of all that pytest keeps takes long, too.
        gc.collect()
        gc.disable()
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *exc_info):
        gc.enable()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
