"""
Time that goes on while a test has stopped its clocks.

freezegun replaces ``time.monotonic()``, by which an event loop knows that a wait is
over; nobody replaces the clock of the system below it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

# Seconds, as time.monotonic() has them.
now: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    if hasattr(time, "clock_gettime")
    else time.monotonic
)


def keep_time(loop: Any) -> Any:
    """
    Return a loop, which goes by :data:`now` if it went by ``time.monotonic()``.
    """
    if getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time:
        loop.time = now
    return loop
