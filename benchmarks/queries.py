"""
CPU time of one ``get(pk)`` on PostgreSQL: stock Django and this package.

The ways take turns in one process, in short rounds, so that whatever else the machine
does disturbs them alike: trust the ratios.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import time

from tests.postgresql_server import PostgreSQLServer

from .rounds import rotated
from .turns import Turns, outside

STOCK = "django.db.backends.postgresql"
EVERGREEN = "django_evergreen.db.backends.postgresql"


def setup(server):
    import django
    from django.conf import settings

    common = {
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": server.host,
        "PORT": server.port,
    }
    settings.configure(
        # Silence the check that names a stock backend: it's the other side here.
        SILENCED_SYSTEM_CHECKS=["django_evergreen.W001"],
        DATABASES={
            "default": {"ENGINE": EVERGREEN, **common},
            "stock": {"ENGINE": STOCK, **common},
        },
        INSTALLED_APPS=[
            "django_evergreen",
            "django.contrib.auth",
            "django.contrib.contenttypes",
        ],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


class Ways:
    """
    The ways to read one row, each as a function that does it ``times`` times.
    """

    def __init__(self, loop):
        from django.contrib.auth.models import User

        self.loop = loop
        self.users = User.objects
        self.pk = self.users.create(username="benchmark").pk

    def stock_get(self, times):
        users = self.users.using("stock")
        with stock_django():
            for _ in range(times):
                users.get(pk=self.pk)

    def get(self, times):
        users = self.users.using("default")
        for _ in range(times):
            users.get(pk=self.pk)

    def floor(self, times):
        """
        The least that an async get() can cost: a sync one, and one wait of the loop.
        """
        with stock_django(), contextlib.closing(Turns(self.loop)) as turns:
            self.loop.run_until_complete(self._get_and_wait(turns, times))

    async def _get_and_wait(self, turns, times):
        users = self.users.using("stock")
        for _ in range(times):
            with outside(self.loop):
                users.get(pk=self.pk)
            await turns.wait()

    def stock_aget(self, times):
        """
        Stock Django's aget(): get() in asgiref's thread.
        """
        with stock_django():
            self.loop.run_until_complete(self._aget("stock", times))

    def aget(self, times):
        self.loop.run_until_complete(self._aget("default", times))

    async def _aget(self, alias, times):
        users = self.users.using(alias)
        for _ in range(times):
            await users.aget(pk=self.pk)


@contextlib.contextmanager
def stock_django():
    """
    Have nothing of this package in the way.
    """
    from django_evergreen import patches

    patches.revert()
    try:
        yield
    finally:
        patches.apply()


def measure(ways, rounds, times):
    """
    Return the CPU microseconds of one call, for each way and round.
    """
    names = ["stock_get", "get", "aget", "stock_aget", "floor"]
    seconds = {name: [] for name in names}
    for number in range(-2, rounds):
        for name in rotated(names, number):
            started = time.process_time()
            getattr(ways, name)(times)
            if number >= 0:
                seconds[name].append((time.process_time() - started) / times * 1e6)
        if sys.stderr.isatty():
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr)
    return seconds


def report(seconds):
    baseline = seconds["stock_get"]
    print(f"{'':24}{'CPU us':>8}{'to stock get()':>16}{'aim':>8}")
    for name, label, aim in [
        ("stock_get", "stock get()", ""),
        ("floor", "and a wait of the loop", ""),
        ("get", "get() on this engine", "1.01"),
        ("stock_aget", "stock aget()", ""),
        ("aget", "aget()", "1.10"),
    ]:
        ratio = median_ratio(seconds[name], baseline)
        cpu = statistics.median(seconds[name])
        print(f"{label:24}{cpu:8.1f}{ratio:16.3f}{aim:>8}")
    ratio = median_ratio(seconds["aget"], seconds["stock_aget"])
    print(f"\naget() to stock aget(): {ratio:.3f} (aim 0.65)")


def median_ratio(values, baseline):
    return statistics.median(a / b for a, b in zip(values, baseline, strict=True))


def main(rounds, times, use_uvloop):
    server = PostgreSQLServer()
    server.start()
    try:
        setup(server)
        if use_uvloop:
            import uvloop

            loop = uvloop.new_event_loop()
        else:
            loop = asyncio.new_event_loop()
        import django
        import psycopg

        print(
            f"Python {sys.version.split()[0]}, Django {django.__version__}, psycopg "
            f"{psycopg.__version__}, {type(loop).__module__}, {os.cpu_count()} cores; "
            f"{rounds} rounds of {times} calls\n"
        )
        report(measure(Ways(loop), rounds, times))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    finally:
        server.stop()
