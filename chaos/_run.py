"""
One run: workers, an auditor and a monkey, and the checks afterwards.
"""

from __future__ import annotations

import asyncio
import sys
import threading

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from tqdm import tqdm

from ._auditor import audit, audit_until_over
from ._heartbeat import Heartbeat
from ._ledger import all_tokens, discrepancies, open_accounts
from ._leftovers import check_after_the_loop, check_on_the_loop
from ._monkey import Monkey
from ._unseen import errors_nobody_sees
from ._worker import work

# More than there are connections.
WORKERS = {"postgresql": 24, "sqlite": 8}


def run(world, loop_factory):
    """
    Do everything, and leave what was found in ``world.report``.
    """
    world.accounts = open_accounts()
    close()
    with errors_nobody_sees(world.report):
        # asgiref keeps its thread: it's to be there already.
        asyncio.run(sync_to_async(int)())
        threads = set(threading.enumerate())
        with asyncio.Runner(debug=False, loop_factory=loop_factory) as runner:
            runner.run(main(world))
        check_after_the_loop(world, threads)
    # By a plain thread, without what's being tested.
    with transaction.atomic():
        wrong = [*discrepancies(world.book), *world.book.contradictions(all_tokens())]
    for text in wrong:
        world.report.violation(text)
    close()
    if not world.book.acknowledged():
        world.report.violation("No transfer was committed at all.")


async def main(world):
    asyncio.get_running_loop().set_exception_handler(world.report.loop_error)
    async with Heartbeat(world.report):
        async with asyncio.TaskGroup() as group:
            group.create_task(show_progress(world))
            group.create_task(audit_until_over(world))
            if not world.is_calm:
                monkey = Monkey(world)
                group.create_task(monkey.run())
                group.create_task(monkey.kill_servers())
            for number in range(WORKERS[connection.vendor]):
                group.create_task(work(world, number))
        await check_last_audit(world)
        await check_on_the_loop(world)


async def check_last_audit(world):
    """
    When all is quiet again, nothing may fail.
    """
    # The loop notices that sessions were ended.
    await asyncio.sleep(0.5)
    try:
        wrong = await audit(world)
    except Exception as error:
        wrong = [f"The last audit failed: {error!r}"]
    for text in wrong:
        world.report.violation(text)


async def show_progress(world):
    if not sys.stderr.isatty():
        return
    # It would start a thread that stays.
    tqdm.monitor_interval = 0
    with tqdm(total=round(world.seconds), unit="s") as bar:
        while not world.is_over:
            await asyncio.sleep(1)
            bar.update(1)
            bar.set_postfix(kinds_of_violations=len(world.report.violations))


def close():
    connection.close()
    if connection.vendor == "postgresql":
        connection.close_pool()
