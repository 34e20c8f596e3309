"""
Fixtures: the test database, and tests that leave it empty.
"""

from __future__ import annotations

import contextlib
import time

import pytest
from django.core.management import call_command
from django.db import connections


@pytest.fixture(scope="session")
def test_database():
    """
    A database with all tables, made by Django's own means.
    """
    with made_test_database("default"):
        yield


@pytest.fixture(scope="session")
def other_test_database(test_database):
    """
    The same for the alias "other", which few tests need.
    """
    with made_test_database("other"):
        yield


@contextlib.contextmanager
def made_test_database(alias):
    connection = connections[alias]
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    connection.close()
    yield
    connection.close()
    wait_for_sessions_to_end(connection)
    connection.creation.destroy_test_db(name, verbosity=0)


def wait_for_sessions_to_end(connection):
    """
    Give PostgreSQL a moment to notice the connections that were closed.
    """
    if connection.vendor != "postgresql":
        return
    deadline = time.monotonic() + 5
    with connection._nodb_cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT query FROM pg_stat_activity WHERE datname = %s",
                [connection.settings_dict["NAME"]],
            )
            if not (lingering := cursor.fetchall()):
                return
    raise AssertionError(f"The tests left connections open: {lingering}")


@pytest.fixture
def db(test_database):
    """
    The test database; what the test leaves in its tables is deleted.
    """
    yield
    empty_tables("default")


@pytest.fixture
def both_databases(db, other_test_database):
    """
    The test databases of both aliases, "default" and "other".
    """
    yield
    empty_tables("other")


def empty_tables(alias):
    call_command(
        "flush",
        verbosity=0,
        interactive=False,
        inhibit_post_migrate=True,
        database=alias,
    )
    from django.contrib.contenttypes.models import ContentType

    ContentType.objects.clear_cache()
    connections[alias].close()


@pytest.fixture
def server(request, db):
    """
    The PostgreSQL server.
    """
    return request.config.server
