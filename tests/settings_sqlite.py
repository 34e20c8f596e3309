"""
SQLite, in a file: databases in memory need no worker threads.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .settings import *  # noqa: F403

DIRECTORY = Path(tempfile.mkdtemp(prefix="evergreen-tests-"))


def database(name, test_name):
    return {
        "ENGINE": os.environ.get(
            "EVERGREEN_TEST_ENGINE", "django_evergreen.db.backends.sqlite3"
        ),
        "NAME": DIRECTORY / name,
        "TEST": {"NAME": DIRECTORY / test_name, "MIGRATE": False},
    }


DATABASES = {
    "default": database("db.sqlite3", "test.sqlite3"),
    "other": database("other.sqlite3", "test_other.sqlite3"),
}
