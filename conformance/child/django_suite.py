"""
Runs Django's suite: ``python -m conformance.child.django_suite``.

It runs in the directory of that suite's ``runtests.py``, whose arguments it takes.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
from pathlib import Path

import django
from django.conf import settings

from .. import modes
from .._environment import Environment
from .._records import Writer
from .recorder import Recorder
from .session import run_session

ARGUMENTS = [
    "--settings=conformance.child.django_settings",
    "--parallel=1",
    "--noinput",
    "--timing",
]


def run(writer: Writer) -> None:
    Recorder.writer = writer
    script = str(Path("runtests.py").resolve())
    sys.argv = [script, *ARGUMENTS, *sys.argv[1:]]
    sys.path[0] = str(Path(script).parent)
    if modes.load(Environment.read().mode).is_ours:
        install_app()
    run_as_main(script)


def install_app() -> None:
    """
    Add the app where ``runtests.py`` is about to install its own ones.
    """
    setup = django.setup

    def setup_with_app() -> None:
        django.setup = setup
        settings.INSTALLED_APPS.append("django_evergreen")
        setup()

    django.setup = setup_with_app


def run_as_main(script: str) -> None:
    # How it tells that tests have failed. It must not pass through an event loop.
    with contextlib.suppress(SystemExit):
        runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    run_session(run)
