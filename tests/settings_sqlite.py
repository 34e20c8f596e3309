"""
SQLite, in a file: databases in memory need no worker threads.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from .settings import *  # noqa: F403

DIRECTORY = Path(tempfile.mkdtemp(prefix="evergreen-tests-"))

DATABASES = {
    "default": {
        "ENGINE": "django_evergreen.db.backends.sqlite3",
        "NAME": DIRECTORY / "db.sqlite3",
        "TEST": {"NAME": DIRECTORY / "test.sqlite3", "MIGRATE": False},
    }
}
