"""
The project of tests/asgi/third_party, served by uvicorn in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

PACKAGE = "tests.asgi.third_party"
ROOT = Path(__file__).parents[2]
# Seconds.
DEADLINE = 50
# None of it may be in what the process writes.
TROUBLE = ["Traceback", "ERROR", "ResourceWarning", "RuntimeWarning"]

# Sync code of others that waits for nothing but the database.
DECLARED = [
    "allauth",
    "auditlog",
    "corsheaders",
    "csp",
    "debug_toolbar",
    "django_htmx",
    "django_otp",
    "django_permissions_policy",
    "log_request_id",
    "reversion",
    "simple_history",
    "waffle",
    "whitenoise",
    PACKAGE,
]
# For each request that keeps one.
THREADS = 8


class Project:
    """
    The server process; it ends with this one.
    """

    def __init__(self, database, *, stock=False, third_party=True, evergreen=None):
        if stock:
            engine = database["ENGINE"].replace("django_evergreen", "django")
            database = {**database, "ENGINE": engine}
        self._project = {
            "database": database,
            "evergreen": evergreen or {},
            "stock": stock,
            "third_party": third_party,
        }

    def command(self, name, *arguments):
        return {
            "args": [sys.executable, "-X", "dev", "-m", name, *map(str, arguments)],
            "cwd": ROOT,
            "env": {
                **os.environ,
                "DJANGO_SETTINGS_MODULE": f"{PACKAGE}.settings",
                "PROJECT": json.dumps(self._project),
                "PYTHONMALLOC": "default",
            },
        }

    def prepare(self):
        subprocess.run(
            **self.command(f"{PACKAGE}.prepare"), check=True, timeout=DEADLINE
        )

    def start(self):
        self._output = tempfile.TemporaryFile("w+")
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
            self.url = "http://{}:{}".format(*listener.getsockname())
            listener.set_inheritable(True)
            self._process = subprocess.Popen(
                **self.command(PACKAGE, listener.fileno()),
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._output,
            )

    def stop(self):
        try:
            self._process.communicate(timeout=DEADLINE)
        finally:
            self._process.kill()
            self._process.wait()
        with self._output as output:
            output.seek(0)
            said = output.read()
        assert self._process.returncode == 0, said
        assert not any(trouble in said for trouble in TROUBLE), said

    @contextlib.asynccontextmanager
    async def visitor(self, username=None, **options):
        """
        A client with cookies, for the block; logged in, if it has a name.
        """
        # Certificates, of which there are none, take long to load.
        options = {"verify": False, "timeout": DEADLINE, **options}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=self.url, limits=limits, **options
        ) as client:
            if username is not None:
                await log_in(client, username)
            yield client


async def log_in(client, username, path="/auth/login/"):
    page = await client.get(path)
    fields = {"username": username, "password": "secret", **token_of(page)}
    answer = await client.post(path, data=fields)
    assert answer.status_code == 302, answer.text


def token_of(page):
    """
    Return the hidden field of a form, without which it may not be posted.
    """
    name = "csrfmiddlewaretoken"
    return {name: re.search(f'name="{name}" value="(.*?)"', page.text)[1]}


def visiting(test):
    """
    Run a coroutine function as a test, once, as the server has a loop of its own.
    """

    @functools.wraps(test)
    def run(**fixtures):
        with asyncio.Runner(debug=False) as runner:
            runner.run(test(**fixtures))

    return run


@pytest.fixture(scope="session")
def project_database(request, tmp_path_factory):
    """
    The settings of a database with the tables of the project.
    """
    from django.conf import settings

    database = {**settings.DATABASES["default"], "NAME": "third_party"}
    database.pop("TEST")
    server = request.config.server
    if server is None:
        database["NAME"] = str(tmp_path_factory.mktemp("third_party") / "db.sqlite3")
        # A transaction that has read can't wait for others to write.
        database["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}
    else:
        with server.connect() as session:
            session.execute("CREATE DATABASE third_party")
    database = {
        key: database[key]
        for key in ("ENGINE", "NAME", "USER", "HOST", "PORT", "OPTIONS")
        if database.get(key)
    }
    Project(database).prepare()
    yield database
    if server is not None:
        with server.connect() as session:
            session.execute("DROP DATABASE third_party")


@contextlib.contextmanager
def served(database, **options):
    project = Project(database, **options)
    project.start()
    try:
        yield project
    finally:
        project.stop()


@pytest.fixture(scope="module")
def stock(project_database):
    """
    The project on Django's own handler and engine.
    """
    with served(project_database, stock=True) as project:
        yield project


@pytest.fixture(scope="module")
def declared(project_database):
    """
    The project, with all that's of third parties on the loop.
    """
    with served(project_database, evergreen={"ON_LOOP": DECLARED}) as project:
        yield project


@pytest.fixture(scope="module")
def undeclared(project_database):
    """
    The project, with all that may block in threads.
    """
    with served(project_database, evergreen={"THREADS": THREADS}) as project:
        yield project


@pytest.fixture(scope="module")
def contrib(project_database):
    """
    The project, with no middleware but Django's.
    """
    evergreen = {"ON_LOOP": [PACKAGE]}
    with served(project_database, third_party=False, evergreen=evergreen) as project:
        yield project
