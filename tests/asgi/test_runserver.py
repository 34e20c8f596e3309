"""
``manage.py runserver``: Django's, by WSGI, and daphne's, by our ASGI application.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import httpx
import pytest

pytestmark = pytest.mark.slow

# Seconds for the server to start, and for each answer.
DEADLINE = 30

PROJECT = """
from django.contrib.contenttypes.models import ContentType
from django.http import JsonResponse
from django.urls import path


async def view(request):
    found = await ContentType.objects.acount()
    return JsonResponse({"found": found, "by": type(request).__name__})


urlpatterns = [path("", view)]
"""

SETTINGS = """
SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
DEBUG = True
INSTALLED_APPS = [*{servers!r}, "django_evergreen", "django.contrib.contenttypes"]
INSTALLED_APPS += ["django.contrib.staticfiles"]
STATIC_URL = "static/"
STATICFILES_DIRS = [{static!r}]
DATABASES = {{
    "default": {{
        "ENGINE": "django_evergreen.db.backends.sqlite3",
        "NAME": {database!r},
    }}
}}
ROOT_URLCONF = "project"
ASGI_APPLICATION = "served.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""

SERVED = """
from django_evergreen.asgi import get_asgi_application

application = get_asgi_application()
"""


class RunServer:
    """
    A project with a server, until the end of the block.
    """

    def __init__(self, directory, servers):
        database = str(directory / "db.sqlite3")
        static = directory / "static"
        static.mkdir()
        (static / "style.css").write_text("body {}")
        settings = SETTINGS.format(
            servers=servers, database=database, static=str(static)
        )
        for name, text in [
            ("project", PROJECT),
            ("served", SERVED),
            ("settings", settings),
        ]:
            (directory / f"{name}.py").write_text(text)
        self._directory = directory

    def _manage(self, *args):
        return {
            "args": [sys.executable, "-X", "dev", "-m", "django", *args],
            "cwd": self._directory,
            "env": {
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "settings",
                "PYTHONPATH": str(self._directory),
                "PYTHONUNBUFFERED": "1",
            },
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }

    def __enter__(self):
        subprocess.run(**self._manage("migrate"), check=True, timeout=DEADLINE)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self._address = "127.0.0.1:{1}".format(*listener.getsockname())
        arguments = self._manage("runserver", "--noreload", self._address)
        self._process = subprocess.Popen(**arguments)
        return self

    def __exit__(self, *exc_info):
        self._process.kill()
        self._process.communicate(timeout=DEADLINE)

    def get(self, path):
        """
        Return what is at a path, as soon as the server is up.
        """
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return httpx.get(f"http://{self._address}{path}", timeout=DEADLINE)
            except httpx.ConnectError:
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    self._process.kill()
                    output, _ = self._process.communicate(timeout=DEADLINE)
                    raise AssertionError(output) from None
                time.sleep(0.05)


@pytest.mark.parametrize(
    ("servers", "request_class"), [([], "WSGIRequest"), (["daphne"], "ASGIRequest")]
)
def test_runserver_serves_async_views(tmp_path, servers, request_class):
    with RunServer(tmp_path, servers) as server:
        response = server.get("/")
    assert response.json() == {"found": 1, "by": request_class}


def test_runserver_of_daphne_serves_static_files(tmp_path):
    with RunServer(tmp_path, ["daphne"]) as server:
        response = server.get("/static/style.css")
    assert response.text == "body {}"
