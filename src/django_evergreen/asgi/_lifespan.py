"""
The lifespan protocol: pools are open before the first request, and closed after the
last one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..db import close_pools, open_pools

logger = logging.getLogger("django_evergreen.asgi")

# Seconds for the databases, after which the server starts without their connections.
OPEN_TIMEOUT = 30.0


async def serve_lifespan(
    receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """
    Serve from the start of the server to its end.

    A database that can't be reached is logged, and keeps nobody from starting: its
    requests will fail until it's there, as in Django.
    """
    await receive()
    try:
        async with asyncio.timeout(OPEN_TIMEOUT):
            await open_pools()
    except Exception:
        logger.exception("A database could not be reached at start-up.")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    try:
        await close_pools()
    except Exception:
        logger.exception("Error while closing the pools of databases.")
    await send({"type": "lifespan.shutdown.complete"})
