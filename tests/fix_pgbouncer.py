"""
Fixtures: PgBouncer in transaction mode, and Django connected through it.
"""

from __future__ import annotations

import copy

import psycopg
import pytest
from django.db import connections

from .pgbouncer_server import PgBouncer, find_obstacle

# Fewer connections to the server than Django's pool has to PgBouncer.
SERVER_CONNECTIONS = 5
POOL_SIZE = 20
SETTINGS = {
    "pool_mode": "transaction",
    "default_pool_size": SERVER_CONNECTIONS,
    "max_client_conn": 1000,
    # Seconds after which it connects again to a server that was away.
    "server_login_retry": 0.1,
}


@pytest.fixture(scope="session")
def stopped_pgbouncer(request):
    """
    A PgBouncer that is yet to be started.
    """
    if obstacle := find_obstacle():
        pytest.skip(f"The tests through PgBouncer did not run: {obstacle}")
    pgbouncer = PgBouncer(request.config.server)
    yield pgbouncer
    pgbouncer.remove()


@pytest.fixture
def pgbouncer(stopped_pgbouncer, db):
    """
    A PgBouncer that is new for the test, and through which Django connects.
    """
    stopped_pgbouncer.start(**SETTINGS)
    settings = connections["default"].settings_dict
    before = copy.deepcopy(settings)
    settings.update(
        HOST=stopped_pgbouncer.host,
        PORT=str(stopped_pgbouncer.port),
        DISABLE_SERVER_SIDE_CURSORS=True,
    )
    settings["OPTIONS"]["pool"] = {"max_size": POOL_SIZE}
    yield stopped_pgbouncer
    settings.clear()
    settings.update(before)
    stopped_pgbouncer.stop()


@pytest.fixture
def ask_pgbouncer(pgbouncer):
    """
    A function that returns what a command of PgBouncer's console shows, as dicts.
    """

    def ask(command):
        with psycopg.connect(
            host=pgbouncer.host,
            port=pgbouncer.port,
            user="postgres",
            dbname="pgbouncer",
            autocommit=True,
            cursor_factory=psycopg.ClientCursor,
            row_factory=psycopg.rows.dict_row,
        ) as console:
            return console.execute(command).fetchall()

    return ask
