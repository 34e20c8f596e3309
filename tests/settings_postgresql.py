"""
PostgreSQL, started by tests/postgresql_server.py.
"""

from __future__ import annotations

import json
import os

from .settings import *  # noqa: F403


def database(**test):
    return {
        "ENGINE": os.environ.get(
            "EVERGREEN_TEST_ENGINE", "django_evergreen.db.backends.postgresql"
        ),
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": os.environ["EVERGREEN_TEST_HOST"],
        "PORT": os.environ["EVERGREEN_TEST_PORT"],
        "OPTIONS": json.loads(os.environ.get("EVERGREEN_TEST_OPTIONS", "{}")),
        # Makes the tables at once; it also knows content types without migrations.
        "TEST": {"MIGRATE": False, **test},
    }


# A run inside a run has databases of its own; see tests/test/outcomes.py.
NAME = os.environ.get("EVERGREEN_TEST_NAME", "test")
DATABASES = {
    "default": database(NAME=f"{NAME}_default"),
    "other": database(NAME=f"{NAME}_other"),
}
