"""
Transfers between accounts while everything that can go wrong does: ``make chaos``.

Tasks, threads and nested transactions move money; they are cancelled at random,
sessions and servers are killed. The sum must never change, a transfer that was
acknowledged must be there, one that failed must not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from . import _settings
from ._dice import Dice


def main():
    options = parse()
    repeat = (
        f'make chaos ARGS="--seed {options.seed} --seconds {options.seconds:g} '
        f"--database {options.database} --loop {options.loop}"
        f"{' --calm' * options.calm}"
        f'{" --only " * bool(options.only)}{" ".join(options.only)}"'
    )
    print(f"Python {platform.python_version()}, {options.database}, {options.loop}")
    print(f"To repeat it: {repeat}\n", flush=True)
    with DATABASES[options.database](Dice(options.seed, "database")) as server:
        # These need Django's settings.
        from ._run import run
        from ._world import World

        world = World(
            options.seed,
            options.seconds,
            only=frozenset(options.only),
            is_calm=options.calm,
            server=server,
        )
        run(world, LOOPS[options.loop]())
    print("\n".join(world.report.lines()))
    if not world.report.violations:
        print(f"\nPASSED: {world.book.acknowledged()} transfers were acknowledged.")
        return 0
    print(
        f"\nFAILED: {len(world.report.violations)} kinds of violations. "
        f"Repeat with: {repeat}"
    )
    return 1


def parse():
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=Dice(time.time(), "seed").randrange(10**6)
    )
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--database", choices=DATABASES, default="postgresql")
    parser.add_argument("--loop", choices=LOOPS, default="asyncio")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="choose only from these programs (chaos/programs/) and interruptions",
    )
    parser.add_argument(
        "--calm",
        action="store_true",
        help="kill no sessions and servers, close no pools",
    )
    return parser.parse_args()


@contextlib.contextmanager
def postgresql(dice):
    """
    Run a server that loses nothing when it's killed.
    """
    from tests.postgresql_server import PostgreSQLServer

    # Without fsync: the machine is not killed.
    server = PostgreSQLServer({"full_page_writes": "on", "synchronous_commit": "on"})
    server.start()
    try:
        _settings.configure(_settings.postgresql(server, dice))
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def sqlite(dice):
    directory = Path(tempfile.mkdtemp(prefix="evergreen-chaos-"))
    try:
        _settings.configure(_settings.sqlite(directory, dice))
        yield None
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def uvloop():
    import uvloop

    return uvloop.new_event_loop


DATABASES = {"postgresql": postgresql, "sqlite": sqlite}
LOOPS = {"asyncio": lambda: asyncio.new_event_loop, "uvloop": uvloop}


if __name__ == "__main__":
    sys.exit(main())
