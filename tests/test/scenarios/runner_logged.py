"""
A project that looks at the log.
"""

from __future__ import annotations

import logging

from .runner_options import Leaving  # noqa: F401


class ToOutput(logging.Handler):
    def emit(self, record):
        test = record.evergreen_test.rpartition(".")[2]
        print(f"logged: {record.levelname} {test} {record.evergreen_leftover.name}")


logger = logging.getLogger("django_evergreen.test")
logger.setLevel("INFO")
logger.addHandler(ToOutput())
