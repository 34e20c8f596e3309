"""
System checks: common mistakes, each with the code that mends it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core import checks
from django.test import override_settings

import django_evergreen
from django_evergreen.checks import CHECKS

from .test_doctor import PROJECT, REDIS, SESSIONS

SETUP = """
import django
from django.conf import settings
settings.configure(
    DATABASES={{"default": {{"ENGINE": {engine!r}, "NAME": "x", **{database!r}}}}},
    INSTALLED_APPS=["django_evergreen"],
)
django.setup()
from django.core.management import call_command
call_command("check")
"""
STOCK = "django.db.backends.sqlite3"
OURS = "django_evergreen.db.backends.sqlite3"


def run_checks():
    """
    Return the messages of this package by their ids.
    """
    found = [
        message
        for message in checks.run_checks()
        if message.id.startswith("django_evergreen.")
    ]
    messages = {message.id.partition(".")[2]: message for message in found}
    assert len(messages) == len(found)
    return messages


def check_with(engine, **database):
    """
    Return what a fresh Django says about a database.
    """
    done = subprocess.run(
        [sys.executable, "-c", SETUP.format(engine=engine, database=database)],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(django_evergreen.__file__).parents[1]),
            "DJANGO_SETTINGS_MODULE": "",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def middleware(*names):
    paths = [name if "." in name else f"{PROJECT}.{name}" for name in names]
    return override_settings(MIDDLEWARE=paths)


def on_loop(*paths):
    return override_settings(EVERGREEN={"ON_LOOP": list(paths)})


def test_the_settings_of_these_tests_are_right():
    assert run_checks() == {}


# Databases.


def test_persistent_connections_with_a_stock_engine():
    said = check_with(STOCK, CONN_MAX_AGE=None)
    assert "django_evergreen.W002" in said
    assert '"CONN_MAX_AGE"] is None' in said
    assert f"Set ENGINE to '{OURS}', or CONN_MAX_AGE to 0." in said


def test_atomic_requests_with_a_stock_engine():
    said = check_with(STOCK, ATOMIC_REQUESTS=True)
    assert "django_evergreen.W003" in said
    assert f"Set ENGINE to '{OURS}', or ATOMIC_REQUESTS to False" in said
    assert "W002" not in said


def test_both_are_right_with_an_engine_of_this_package():
    said = check_with(OURS, CONN_MAX_AGE=60, ATOMIC_REQUESTS=True)
    assert "no issues" in said


# EVERGREEN.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ON_LOPP": []}, "unknown option 'ON_LOPP'. The options are ON_LOOP"),
        ({"THREADS": 0}, 'EVERGREEN["THREADS"] is 0. Set it to 1 or more.'),
        (["ON_LOOP"], "Set it to a dict of options."),
    ],
)
def test_a_wrong_option_is_an_error(options, said):
    with override_settings(EVERGREEN=options), middleware("SyncOnly"):
        (error,) = run_checks().values()
    assert error.id == "django_evergreen.E002"
    assert error.level == checks.ERROR
    assert said in error.msg


@pytest.mark.parametrize(
    "path",
    [
        "tests",
        PROJECT,
        f"{PROJECT}.blocks",
        f"{PROJECT}.is_marked",
        f"{PROJECT}.Mixed.process_view",
        f"{PROJECT}.plain",
    ],
)
def test_a_path_on_the_loop_that_names_code_is_right(path):
    with on_loop(path):
        assert run_checks() == {}


@pytest.mark.parametrize(
    ("path", "problem", "hint"),
    [
        ("tests.nothing", "'nothing'", "Correct it, or leave it out."),
        ("no_such_package.views", "No module named", "Correct it"),
        (f"{PROJECT}.Mixed.process_viwe", "process_viwe", "Correct it"),
        # Where it's imported is not where it's defined.
        (
            f"{PROJECT}.HttpResponse",
            "it's django.http.response.HttpResponse.",
            "Write 'django.http.response.HttpResponse' instead.",
        ),
        # A method that is inherited.
        (
            f"{PROJECT}.SyncOnly.process_view",
            f"it's {PROJECT}.Mixed.process_view",
            f"Write '{PROJECT}.Mixed.process_view' instead.",
        ),
    ],
)
def test_a_path_on_the_loop_that_declares_nothing(path, problem, hint):
    with on_loop(PROJECT, path):
        warning = run_checks()["W004"]
    assert warning.level == checks.WARNING
    assert warning.obj == path
    assert f"has {path!r}, which declares nothing" in warning.msg
    assert problem in warning.msg
    assert hint in warning.hint


def test_a_module_that_breaks_when_it_is_imported_is_not_misspelt(
    tmp_path, monkeypatch
):
    (tmp_path / "breaks_the_checks.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with on_loop("breaks_the_checks"):
        assert run_checks() == {}


# Middleware.


def test_middleware_that_is_sync_only_is_one_warning():
    with (
        middleware(SESSIONS, "SyncOnly", "plain", "AsyncCapable", "AsyncOnly"),
        override_settings(EVERGREEN={"THREADS": 7}),
    ):
        warning = run_checks()["W005"]
    paths = [f"{PROJECT}.SyncOnly", f"{PROJECT}.plain"]
    assert warning.msg.startswith(f"{', '.join(paths)}: middleware")
    assert "one of 7 threads" in warning.msg
    assert f'EVERGREEN = {{"ON_LOOP": {paths!r}}}' in warning.hint
    with middleware(SESSIONS, "SyncOnly", "plain"), on_loop(*paths):
        assert run_checks() == {}


def test_middleware_that_is_marked_is_right():
    with middleware("Marked", "Blocking"):
        assert run_checks() == {}


def test_middleware_that_cannot_be_imported_is_left_to_django():
    with middleware("tests.nothing.Middleware"):
        assert run_checks() == {}


# Caches.


def test_djangos_redis_cache_could_need_no_thread():
    with override_settings(CACHES={"default": REDIS}):
        info = run_checks()["I001"]
    assert info.level == checks.INFO
    assert info.hint == ("Set BACKEND to 'django_evergreen.cache.redis.RedisCache'.")


# Cheap, and nobody else's business.


def test_a_broken_url_configuration_is_not_imported():
    with override_settings(ROOT_URLCONF="tests.app.no_urls"):
        assert [message for check in CHECKS for message in check()] == []


def test_each_check_is_documented():
    source = Path(django_evergreen.__file__).with_name("checks.py").read_text()
    documented = (Path(__file__).parents[1] / "docs" / "doctor.md").read_text()
    ids = set(re.findall(r"django_evergreen\.[EWI]\d{3}", source))
    assert ids == set(re.findall(r"django_evergreen\.[EWI]\d{3}", documented))
