"""
PostgreSQL, started by tests/postgresql_server.py.
"""

from __future__ import annotations

import os

from .settings import *  # noqa: F403


def database(**test):
    return {
        "ENGINE": "django_evergreen.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": os.environ["EVERGREEN_TEST_HOST"],
        "PORT": os.environ["EVERGREEN_TEST_PORT"],
        "OPTIONS": {},
        # Makes the tables at once; it also knows content types without migrations.
        "TEST": {"MIGRATE": False, **test},
    }


DATABASES = {"default": database(), "other": database(NAME="test_other")}
