"""
The whole session runs in the bridge, in one task of one event loop.

So every statement of every test is sent by a wait that suspends: the ORM's, of
migrations, of the admin, of forms and of templates. Tests that are async run on
the same loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from django_evergreen.bridge import run_sync

from . import Mode
from ._counted import Counted


def around_session(run: Callable[[], Any]) -> Any:
    async def session() -> Any:
        return await Counted(run_sync(run))

    return asyncio.run(session())


MODE = Mode(
    title="everything in the bridge, on one event loop",
    around_session=around_session,
    waits=lambda: Counted.suspensions,
)
