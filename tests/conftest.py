"""
Chooses the database, starts its server and sets up Django; see fix_*.py.
"""

from __future__ import annotations

import os
import shutil

import greenlet

pytest_plugins = [
    "tests.asgi.fix_browser",
    "tests.asgi.fix_project",
    "tests.fix_db",
    "tests.fix_loops",
    "tests.fix_pgbouncer",
    "tests.fix_proxy",
    "tests.fix_redis",
]


def pytest_addoption(parser):
    parser.addoption(
        "--database",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help="the database that the tests run on",
    )


def pytest_configure(config):
    database = config.getoption("--database")
    config.server = None
    if database == "postgresql":
        from .postgresql_server import PostgreSQLServer

        config.server = PostgreSQLServer()
        config.server.start()
        os.environ["EVERGREEN_TEST_HOST"] = config.server.host
        os.environ["EVERGREEN_TEST_PORT"] = str(config.server.port)
    os.environ["DJANGO_SETTINGS_MODULE"] = f"tests.settings_{database}"
    import django

    django.setup()


def pytest_unconfigure(config):
    from django.conf import settings
    from django.db import connections

    connections.close_all()
    if config.server is not None:
        config.server.stop()
    if directory := getattr(settings, "DIRECTORY", None):
        shutil.rmtree(directory, ignore_errors=True)


def pytest_report_header(config):
    import django
    from django.db import connection

    with connection.cursor() as cursor:
        postgresql = connection.vendor == "postgresql"
        cursor.execute(
            "SHOW server_version" if postgresql else "SELECT sqlite_version()"
        )
        (version,) = cursor.fetchone()
    connection.close()
    if postgresql:
        # It would keep serving this database instead of the test database.
        connection.close_pool()
    driver = connection.Database
    return (
        f"django {django.__version__}, {connection.display_name} {version}, "
        f"{getattr(driver, '__name__', driver)}, greenlet {greenlet.__version__}"
    )


def pytest_collection_modifyitems(config, items):
    """
    Drop the tests that are about the other database.
    """
    database = config.getoption("--database")

    def is_about_other(item):
        marker = item.get_closest_marker("only")
        return marker is not None and database not in marker.args

    dropped = [item for item in items if is_about_other(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]
