"""
A PostgreSQL server with the tables of the project.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

from tests.postgresql_server import PostgreSQLServer


@contextlib.contextmanager
def running_server():
    """
    Run a server for a block, which gets it and the settings of its database.
    """
    server = PostgreSQLServer()
    server.start()
    try:
        database = {
            "NAME": "postgres",
            "USER": "postgres",
            "HOST": server.host,
            "PORT": server.port,
        }
        migrate(database)
        yield server, database
    finally:
        server.stop()


def migrate(database):
    # In a process of its own, as this one has no settings.
    code = (
        "import sys, json; from benchmarks.web import project; "
        "project.configure('wsgi', json.loads(sys.argv[1])); "
        "from django.core.management import call_command; "
        "call_command('migrate', verbosity=0)"
    )
    subprocess.run([sys.executable, "-c", code, json.dumps(database)], check=True)
