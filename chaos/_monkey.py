"""
What disturbs a run from outside: killed sessions, killed servers, closed pools.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import psycopg

from django_evergreen.db import close_pools, open_pools, statistics

from ._dice import Dice
from ._settings import APPLICATION

# Seconds between two kills of the server, on average.
BETWEEN_KILLS = 10.0

SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
)


class Monkey:
    def __init__(self, world):
        self._world = world
        self._dice = Dice(world.seed, "monkey")

    async def run(self):
        kinds = [self._close_pools, self._open_pools]
        weights = [1, 1]
        if self._world.is_postgresql:
            kinds += [self._end_session, self._end_all_sessions]
            weights += [8, 1]
        await asyncio.sleep(1.0)
        while not self._world.is_over:
            await asyncio.sleep(self._dice.expovariate(2.5))
            await self._dice.choices(kinds, weights)[0]()

    async def kill_servers(self):
        """
        Kill the server and start it again, at least once.
        """
        if not self._world.is_postgresql:
            return
        kills = max(1, round(self._world.seconds / BETWEEN_KILLS))
        for _ in range(kills):
            mean = self._world.seconds / (kills + 1)
            await asyncio.sleep(mean * self._dice.uniform(0.5, 1.0))
            if self._dice.happens(0.75):
                with self._world.killing("kills of the server"):
                    await asyncio.to_thread(self._kill)
            else:
                with self._world.killing("restarts of the server"):
                    await asyncio.to_thread(self._world.server.restart)

    def _kill(self):
        self._world.server.kill()
        time.sleep(self._dice.random())
        self._world.server.start()

    async def _end_session(self):
        with self._world.killing("sessions ended"):
            await asyncio.to_thread(self._ask, f"{SESSIONS} ORDER BY random() LIMIT 1")

    async def _end_all_sessions(self):
        with self._world.killing("times all sessions were ended"):
            await asyncio.to_thread(self._ask, SESSIONS)

    def _ask(self, statement):
        # The server may be down.
        with contextlib.suppress(psycopg.OperationalError):
            self._world.server.ask(statement, APPLICATION)

    async def _close_pools(self):
        with self._world.killing("pools closed"):
            await close_pools(timeout=self._dice.choice([0.0, 0.05, 0.5]))

    async def _open_pools(self):
        try:
            await open_pools()
        except Exception as error:
            self._world.report.check("open_pools()", error)
        self._world.report.event("pools opened")


def check_pool(world):
    s = statistics()
    if not 0 <= s.idle <= s.size <= s.max_size or len(s.holders) > s.size:
        world.report.violation(f"The pool's numbers can't be: {s}")
