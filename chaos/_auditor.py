"""
Looks at the ledger all the time: its invariants hold at every moment.
"""

from __future__ import annotations

import asyncio

from django.db import transaction

from django_evergreen.bridge import run_sync

from ._ledger import aquery, discrepancies
from ._monkey import check_pool

INTERVAL = 0.2
REPEATABLE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


async def audit_until_over(world):
    while not world.is_over:
        await asyncio.sleep(INTERVAL)
        check_pool(world)
        try:
            wrong = await audit(world)
        except Exception as error:
            world.report.failed("audit", error)
            world.report.check("The auditor", error)
        else:
            world.report.outcome("audit", "done")
            for text in wrong:
                world.report.violation(text)


async def audit(world):
    """
    Return what's wrong, as seen by two looks at one snapshot.
    """
    async with transaction.atomic():
        if world.is_postgresql:
            await aquery(REPEATABLE)
        return await look(world) + await look(world)


async def look(world):
    return await run_sync(lambda: list(discrepancies(world.book)))
