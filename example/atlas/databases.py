"""
The two databases the example can run on, the same for both stacks.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from atlas.stack import BACKENDS

# Where `load_places` puts the SQLite data. Not under version control.
DATA_DIRECTORY = Path(__file__).resolve().parent.parent / ".data"


def databases() -> dict[str, dict[str, object]]:
    """
    Return ``DATABASES`` for ``EXAMPLE_DATABASE``: ``sqlite`` or ``postgresql``.
    """
    name = os.environ.get("EXAMPLE_DATABASE", "sqlite")
    if name == "sqlite":
        return {"default": _sqlite()}
    if name == "postgresql":
        return {"default": _postgresql()}
    msg = f"EXAMPLE_DATABASE is {name!r}. Set it to 'sqlite' or to 'postgresql'."
    raise ImproperlyConfigured(msg)


def _sqlite() -> dict[str, object]:
    DATA_DIRECTORY.mkdir(exist_ok=True)
    return {
        "ENGINE": f"{BACKENDS}.sqlite3",
        "NAME": DATA_DIRECTORY / "atlas.sqlite3",
        # Readers do not wait for the writer.
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL;"},
    }


def _postgresql() -> dict[str, object]:
    return {
        "ENGINE": f"{BACKENDS}.postgresql",
        "HOST": os.environ.get("PGHOST", ""),
        "PORT": os.environ.get("PGPORT", ""),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "NAME": os.environ.get("PGDATABASE", "atlas"),
        # Django asks for 0 with a pool, and advises it under ASGI.
        "CONN_MAX_AGE": 0,
        # Stock Django takes its pool from psycopg_pool, evergreen brings its own.
        "OPTIONS": {"pool": {"max_size": 10}},
    }
