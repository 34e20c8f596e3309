"""
The session of a suite: in its mode, with the records.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

from .. import modes
from .._environment import Environment
from .._records import Writer


def run_session(run: Callable[[Writer], object]) -> None:
    """
    Call ``run(writer)`` in the mode of this process, and record what it cost.
    """
    environment = Environment.read()
    mode = modes.load(environment.mode)
    with Writer(Path(environment.records)) as writer:
        mode.around_session(lambda: run(writer))
        usage = resource.getrusage(resource.RUSAGE_SELF)
        writer.end(
            waits=mode.waits() if mode.waits else None,
            requests=mode.requests() if mode.requests else None,
            cpu_seconds=round(usage.ru_utime + usage.ru_stime, 1),
        )
