"""
The heartbeat notices what it's there for.
"""

from __future__ import annotations

import asyncio
import threading

from .heartbeat import Heartbeat


async def test_heartbeat_notices_a_blocked_loop():
    async with Heartbeat() as heartbeat:
        await asyncio.sleep(0.02)
        threading.Event().wait(0.1)
        await asyncio.sleep(0.02)
    assert heartbeat.late > 0.08


async def test_heartbeat_notices_a_busy_loop():
    async with Heartbeat() as heartbeat:
        await asyncio.sleep(0.02)
        sum(range(10**7))
        await asyncio.sleep(0.02)
    assert heartbeat.late > 0.05
