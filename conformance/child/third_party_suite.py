"""
Runs a suite by its script: ``python -m conformance.child.third_party_suite FILE``.

The script must use Django's test runner. It gets the other arguments.
"""

from __future__ import annotations

import sys
from pathlib import Path

import django.test.runner

from .._environment import Environment
from .._records import Writer
from .django_suite import run_as_main
from .recorder import Recorder
from .runner import Runner
from .session import run_session
from .third_party_settings import install


def run(writer: Writer) -> None:
    Recorder.writer = writer
    install(Environment.read())
    # It's imported by the script, or named by the settings' default.
    django.test.runner.DiscoverRunner = Runner
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    run_as_main(sys.argv[0])


if __name__ == "__main__":
    run_session(run)
