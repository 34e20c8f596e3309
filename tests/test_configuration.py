"""
A wrong configuration: one clear error that names the fix.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import django_evergreen

POSTGRESQL = "django_evergreen.db.backends.postgresql"
SQLITE = "django_evergreen.db.backends.sqlite3"

SETUP = """
import sys
{before}
import django
from django.conf import settings
settings.configure(
    DATABASES={{"default": {database!r}}},
    INSTALLED_APPS={apps!r},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
from django.core.exceptions import ImproperlyConfigured
try:
    django.setup()
    from django.core.management import call_command
    call_command("check")
    from django.db import connection
    connection.ops
    {after}
except ImproperlyConfigured as error:
    print(error)
"""
APPS = ["django_evergreen", "django.contrib.contenttypes"]


ASK = """
    import asyncio
    from django.contrib.contenttypes.models import ContentType
    asyncio.run(ContentType.objects.acount())
"""


def configure(engine, before="", options=None, apps=APPS, after=""):
    """
    Return what a fresh Django says about a configuration.
    """
    database = {"ENGINE": engine, "NAME": "x", "OPTIONS": options or {}}
    code = SETUP.format(database=database, before=before, apps=apps, after=after)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(django_evergreen.__file__).parents[1]),
            "DJANGO_SETTINGS_MODULE": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("engine", [POSTGRESQL, SQLITE])
def test_right_configuration_is_silent(engine):
    assert "System check identified no issues" in configure(engine)


@pytest.mark.parametrize(
    "engine", ["django_evergreen.db.backends.postgres", "django_evergreen.postgresql"]
)
def test_wrong_engine(engine):
    said = configure(engine)
    assert f"is '{engine}', which doesn't exist" in said
    assert repr(POSTGRESQL) in said
    assert repr(SQLITE) in said
    assert "Traceback" not in said


def test_stock_engine_is_a_warning_with_the_fix():
    said = configure("django.db.backends.sqlite3")
    assert "django_evergreen.W001" in said
    assert f"Set ENGINE to {SQLITE!r}" in said


def test_app_that_is_not_installed_is_not_needed_by_sync_code():
    said = configure(SQLITE, apps=["django.contrib.contenttypes"])
    assert "System check identified no issues" in said
    assert "INSTALLED_APPS" not in said


def test_app_that_is_not_installed():
    said = configure(SQLITE, apps=["django.contrib.contenttypes"], after=ASK)
    assert "Add 'django_evergreen' to INSTALLED_APPS" in said
    assert "Traceback" not in said


def test_missing_driver():
    said = configure(
        POSTGRESQL, "sys.modules['psycopg'] = sys.modules['psycopg2'] = None"
    )
    assert "pip install 'django-evergreen[postgresql]'" in said
    assert "Traceback" not in said


def test_psycopg_that_is_too_old():
    said = configure(POSTGRESQL, "import psycopg; psycopg.__version__ = '3.2.9'")
    assert "needs psycopg 3.3.6 or newer; you have psycopg 3.2.9" in said
    assert "pip install --upgrade" in said


def test_psycopg_that_connects_in_another_way():
    before = "import psycopg; psycopg.Connection.connect = classmethod(lambda cls: 0)"
    assert "Install psycopg 3.3" in configure(POSTGRESQL, before)


@pytest.mark.parametrize("engine", [POSTGRESQL, SQLITE])
def test_wrong_pool_option(engine):
    said = configure(engine, options={"pool": {"size": 5}})
    assert "django_evergreen.E001" in said
    assert "unknown option 'size'. The options are min_size, max_size" in said
