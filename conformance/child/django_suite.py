"""
Runs Django's suite: ``python -m conformance.child.django_suite``.

It runs in the directory of that suite's ``runtests.py``, whose arguments it takes.
"""

from __future__ import annotations

import resource
import runpy
import sys
from pathlib import Path

import django
from django.conf import settings

from .. import modes
from .._environment import Environment
from .._records import Writer
from .recorder import Recorder

ARGUMENTS = [
    "--settings=conformance.child.django_settings",
    "--parallel=1",
    "--noinput",
    "--timing",
]


def main() -> None:
    environment = Environment.read()
    mode = modes.load(environment.mode)
    Recorder.writer = Writer(Path(environment.records))
    script = str(Path("runtests.py").resolve())
    sys.argv = [script, *ARGUMENTS, *sys.argv[1:]]
    sys.path[0] = str(Path(script).parent)
    if mode.is_ours:
        install_app()
    try:
        mode.around_session(lambda: run_as_main(script))
    finally:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        Recorder.writer.end(
            waits=mode.waits() if mode.waits else None,
            cpu_seconds=round(usage.ru_utime + usage.ru_stime, 1),
        )


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


def run_as_main(script: str) -> object:
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        # Not through an event loop, which would not end as usual.
        return end.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
