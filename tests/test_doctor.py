"""
The doctor: what it says about a project, and that it's true.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core import asgi as django_asgi
from django.core.management import CommandError, call_command
from django.core.signals import request_finished, request_started
from django.test import override_settings

from django_evergreen.asgi import get_asgi_application

from . import doctor_project

PROJECT = "tests.doctor_project"
EXAMPLE = Path(__file__).parents[1] / "example"
REDIS = {
    "BACKEND": "django.core.cache.backends.redis.RedisCache",
    "LOCATION": "redis://127.0.0.1:1",
}
FILES = {
    "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
    "LOCATION": "nowhere",
}
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"


@pytest.fixture
def project():
    """
    The settings of the project, for which the doctor is asked.
    """
    doctor_project.ran.clear()
    with override_settings(
        ROOT_URLCONF=PROJECT,
        MIDDLEWARE=[],
        EVERGREEN={"ON_LOOP": [f"{PROJECT}.Page"]},
    ):
        yield doctor_project


def ask(*options):
    """
    Return what the command prints.
    """
    output = StringIO()
    call_command("evergreen", *options, stdout=output, no_color=True)
    return output.getvalue()


def diagnose():
    return json.loads(ask("--json"))


def advice():
    return " ".join(f"{a['change']} {a['gain']}" for a in diagnose()["advice"])


def middleware(*names):
    return override_settings(MIDDLEWARE=[f"{PROJECT}.{name}" for name in names])


def places(findings):
    """
    Return where things run, by the last part of their names.
    """
    return {f["name"].rpartition(".")[2]: f["place"] for f in findings}


async def get(path):
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b""}
    scope["headers"] = [(b"host", b"testserver")]
    messages = ApplicationCommunicator(get_asgi_application(), scope)
    await messages.send_input({"type": "http.request"})
    start = await messages.receive_output(10)
    await messages.receive_output(10)
    await messages.wait(10)
    return start["status"]


def has_run(name):
    """
    Return where something has run in all requests: "loop" or "thread".
    """
    here = threading.get_ident()
    (where,) = {"loop" if t == here else "thread" for t in doctor_project.ran[name]}
    return where


# What it says is true.


async def test_each_view_runs_where_the_doctor_says(project):
    said = {
        f["label"]: f["place"].replace("awaited", "loop") for f in diagnose()["views"]
    }
    assert len(said) == len(project.urlpatterns) + 1
    for label, place in said.items():
        project.ran.clear()
        await get("/nowhere/" if label == "handler404" else f"/{label}")
        if label == "django/":
            assert place == "loop"
            assert not project.ran
        else:
            (name,) = project.ran
            assert (label, has_run(name)) == (label, place)


ALL = ["AsyncCapable", "SyncOnly", "Marked", "Blocking", "AsyncOnly", "plain"]


@pytest.mark.parametrize("on_loop", [[], ["AsyncCapable"], ["Mixed"], ["SyncOnly"]])
async def test_each_middleware_runs_where_the_doctor_says(project, on_loop):
    declared = {"ON_LOOP": [f"{PROJECT}.{name}" for name in on_loop]}
    with middleware(*ALL), override_settings(EVERGREEN=declared):
        found = diagnose()["middleware"]
        assert [f["label"].rpartition(".")[2] for f in found] == ALL
        assert await get("/is/async/") == 200
        for finding in found:
            name = finding["label"].rpartition(".")[2]
            place = finding["place"].replace("awaited", "loop")
            hooks = {hook["label"]: hook["place"] for hook in finding.get("hooks", [])}
            if name in project.ran:
                assert has_run(name) == place
            elif "process_request" not in hooks:
                # It's called by the middleware, where that runs.
                hooks |= {"process_request": place, "process_response": place}
            for hook, place in hooks.items():
                expected = place.replace("awaited", "loop")
                assert (name, hook, has_run(f"{name}.{hook}")) == (name, hook, expected)


@pytest.mark.parametrize("signal", [request_started, request_finished])
async def test_receivers_run_where_the_doctor_says(project, signal):
    signal.connect(project.receiver)
    try:
        found = diagnose()["receivers"]
        label = next(f["label"] for f in found if f["name"].endswith(".receiver"))
        assert {f["place"] for f in found if f["label"] == label} == {"thread"}
        assert {f["place"] for f in found if f["label"] != label} == {"loop"}
        assert f"'{PROJECT}.receiver'" in advice()
        when = "for its whole time" if signal is request_started else "at its end"
        assert f"holds one of 40 threads {when}" in advice()
        assert "close_old_connections" not in advice()
        await get("/is/async/")
        assert has_run("receiver") == "thread"

        with override_settings(EVERGREEN={"ON_LOOP": [PROJECT]}):
            assert {f["place"] for f in diagnose()["receivers"]} == {"loop"}
            project.ran.clear()
            await get("/is/async/")
        assert has_run("receiver") == "loop"
    finally:
        signal.disconnect(project.receiver)


async def test_following_the_advice_for_middleware_leaves_no_thread(project):
    with middleware("AsyncCapable", "SyncOnly", "AsyncOnly", "plain"):
        said = diagnose()["advice"][0]["change"]
        paths = [word for word in said.split("'") if word.startswith(PROJECT)]
        with override_settings(EVERGREEN={"ON_LOOP": paths}):
            assert "threads" not in advice().partition("if none of its")[0]
            assert await get("/is/async/") == 200
    assert {has_run(name) for name in project.ran} == {"loop"}


# What it advises.


def test_sync_only_middleware_costs_each_request_a_thread(project):
    with middleware("plain", "Marked"):
        said = advice()
    assert (
        f"Add '{PROJECT}.plain' to EVERGREEN[\"ON_LOOP\"], if it doesn't block. "
        "Saves it a thread for each request. Now each request holds one of 40 threads "
        "for its whole time, so that no more than 40 are served at a time."
    ) in said


def test_a_hook_in_a_thread_counts_from_there_on(project):
    options = {"ON_LOOP": [], "THREADS": 3}
    with middleware("Marked", "AsyncCapable"), override_settings(EVERGREEN=options):
        said = advice()
        assert "process_request() in a thread" in ask()
    hook = f"{PROJECT}.Mixed.process_request"
    assert f"Add '{PROJECT}.Mixed' to EVERGREEN" in said
    assert f"holds one of 3 threads from {hook} on, to its end" in said


def test_several_that_need_a_thread_are_one_advice(project):
    with middleware("SyncOnly", "plain"):
        said = advice()
    assert f"Add '{PROJECT}.SyncOnly' and" in said
    assert "As long as one needs a thread, the others save none." in said


def test_what_is_declared_to_block_is_left_alone(project):
    with middleware("Blocking"):
        assert "Blocking" not in advice()
        assert "it's decorated with @in_thread" in ask()


def test_views_are_advised_by_module(project):
    said = advice()
    assert f"Add '{PROJECT}' to EVERGREEN" in said
    assert "if none of its 4 views blocks" in said


def test_a_single_view_is_named(project):
    names = ["Page", "blocks_too", "with_options", "page_not_found"]
    declared = {"ON_LOOP": [f"{PROJECT}.{name}" for name in names]}
    with override_settings(EVERGREEN=declared):
        assert f"Add '{PROJECT}.blocks' to EVERGREEN" in advice()


@override_settings(CACHES={"default": REDIS, "files": FILES})
def test_djangos_redis_cache_has_a_better_one():
    places = {f["label"]: f["place"] for f in diagnose()["caches"]}
    assert places == {"default": "thread", "files": "thread"}
    assert (
        "Set CACHES['default'][\"BACKEND\"] to "
        "'django_evergreen.cache.redis.RedisCache'."
    ) in advice()


@override_settings(
    CACHES={
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "ours": {**REDIS, "BACKEND": "django_evergreen.cache.redis.RedisCache"},
        "none": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
        "db": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "t",
        },
    }
)
def test_caches_that_need_no_thread():
    assert {f["place"] for f in diagnose()["caches"]} == {"loop"}


@override_settings(
    CACHES={"default": FILES}, SESSION_ENGINE="django.contrib.sessions.backends.cache"
)
def test_sessions_in_a_cache_that_blocks_need_its_thread():
    (sessions,) = diagnose()["sessions"]
    assert (sessions["place"], sessions["holds_loop"]) == ("thread", False)
    assert "in a thread, as CACHES['default'] does" in ask()


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.file")
def test_sessions_in_files_hold_the_loop():
    (sessions,) = diagnose()["sessions"]
    assert sessions["holds_loop"]
    assert "on the loop, holding it" in ask()
    assert "Set SESSION_ENGINE to 'django.contrib.sessions.backends.db'" in advice()


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
def test_sessions_in_cookies_do_not():
    (sessions,) = diagnose()["sessions"]
    assert not sessions["holds_loop"]


def test_databases_of_this_package_need_no_advice():
    for database in diagnose()["databases"]:
        assert database["pool"]["max_size"] >= 1
        assert database["name"].startswith("django_evergreen.")
    assert "ENGINE" not in advice()


STOCK_ENGINE = """
import django
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}},
    INSTALLED_APPS=["django_evergreen"],
    ROOT_URLCONF="tests.nothing",
)
django.setup()
from django.core.management import call_command
call_command("evergreen")
"""


def test_a_stock_engine_is_the_first_thing_to_change():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STOCK_ENGINE],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = " ".join(done.stdout.split())
    assert "in a thread, as it would block the loop, where it's refused" in said
    engine = "django_evergreen.db.backends.sqlite3"
    assert f"1. Set DATABASES['default'][\"ENGINE\"] to '{engine}'." in said


# Which application serves.


class Wrapper:
    def __init__(self, app):
        self.app = app


class Router:
    def __init__(self, app):
        self.application_mapping = {"http": app}


async def some_application(scope, receive, send):
    pass


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (get_asgi_application, "evergreen"),
        (lambda: Router(Wrapper(get_asgi_application())), "evergreen"),
        (django_asgi.get_asgi_application, "django"),
        (lambda: Wrapper(django_asgi.get_asgi_application()), "django"),
        (lambda: some_application, "other"),
    ],
)
def test_the_application_is_recognized(monkeypatch, make, kind):
    monkeypatch.setattr(doctor_project, "application", make(), raising=False)
    with override_settings(ASGI_APPLICATION=f"{PROJECT}.application"):
        assert diagnose()["application"]["kind"] == kind
        is_advised = f"In {PROJECT}, import get_asgi_application" in advice()
        assert is_advised == (kind == "django")


def test_an_application_that_cannot_be_imported_is_a_finding():
    with override_settings(ASGI_APPLICATION=f"{PROJECT}.nothing"):
        assert diagnose()["application"]["kind"] == "broken"
        assert "it can't be loaded: ImportError" in ask()


def test_no_application_is_a_finding():
    assert diagnose()["application"]["kind"] == "missing"


def test_the_application_is_looked_for_beside_the_urls(tmp_path, monkeypatch):
    package = tmp_path / "shop_of_the_doctor"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "urls.py").write_text("urlpatterns = []")
    (package / "asgi.py").write_text(
        "from django_evergreen.asgi import get_asgi_application\n"
        "application = get_asgi_application()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with override_settings(ROOT_URLCONF=f"{package.name}.urls"):
        application = diagnose()["application"]
    assert application["name"] == f"{package.name}.asgi.application"
    assert application["kind"] == "evergreen"


# What it prints.


def test_views_in_threads_are_shown_and_the_others_counted(project):
    said = ask()
    assert "Views: 5 in a thread, 3 on the loop, 2 on the loop, awaited" in said
    assert f"blocks/too/  {PROJECT}.blocks_too\n      in a thread, as" in said
    assert f"with/options/  {PROJECT}.with_options" in said
    assert "  5 on the loop; --all shows them" in said
    assert "is_async" not in said


def test_all_shows_all(project):
    said = ask("--all")
    assert f"is/async/  {PROJECT}.is_async\n      on the loop, awaited" in said
    assert f"pages/sync/  {PROJECT}.Page\n      on the loop, as of" in said
    assert "--all shows" not in said


def test_colours_change_no_text(project):
    output = StringIO()
    call_command("evergreen", stdout=output, force_color=True)
    assert "\x1b[" in output.getvalue()
    assert "\x1b[" not in ask()


def test_code_that_cannot_be_loaded_is_a_finding():
    broken = {
        "ROOT_URLCONF": "tests.app.no_urls",
        "MIDDLEWARE": [SESSIONS, "tests.no_middleware.Middleware"],
        "SESSION_ENGINE": "tests.no_sessions",
        "CACHES": {"default": {"BACKEND": "tests.no_cache.Cache"}},
    }
    with override_settings(**broken):
        said = " ".join(ask().split())
    for group in ("Middleware: 1 on the loop,", "Views:", "Caches:", "Sessions:"):
        assert f"{group} 1 unknown" in said
    assert said.count("it can't be loaded") == 4


@override_settings(EVERGREEN={"ON_LOPP": []})
def test_a_wrong_setting_is_an_error_of_the_command():
    with pytest.raises(CommandError, match="unknown option 'ON_LOPP'"):
        ask()


def test_a_project_without_any_flaw_is_told_so(monkeypatch):
    application = get_asgi_application()
    monkeypatch.setattr(doctor_project, "application", application, raising=False)
    with override_settings(ASGI_APPLICATION=f"{PROJECT}.application"):
        assert diagnose()["advice"] == []
        assert "Nothing to change." in ask()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_doctor_examines_the_example(options):
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "evergreen", *options],
        cwd=EXAMPLE,
        env={
            **os.environ,
            "EXAMPLE_STACK": "evergreen",
            "EXAMPLE_DATABASE": "sqlite",
            "DJANGO_SETTINGS_MODULE": "atlas.settings",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "places.views" in done.stdout or not options
    if options:
        found = json.loads(done.stdout)
        assert {f["place"] for f in found["middleware"]} == {"loop"}
        assert places(found["views"])["search"] == "awaited"
    else:
        assert "Middleware: 7 on the loop" in done.stdout
