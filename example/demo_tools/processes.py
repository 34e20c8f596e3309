"""
Child processes that never outlive the demo.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

EXAMPLE = Path(__file__).resolve().parent.parent
# How long a process may take to stop when asked, in seconds.
PATIENCE = 5.0
LOG_TAIL_LINES = 25


@contextmanager
def running(
    command: list[str],
    environment: Mapping[str, str],
    stdout: int | IO[str] | None = None,
    stderr: int | IO[str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """
    Run ``command`` in the example's directory, and stop it at the end of the block.
    """
    process = subprocess.Popen(
        command,
        cwd=EXAMPLE,
        env={**os.environ, **environment},
        stdout=stdout,
        stderr=stderr,
        text=True,
        # Ctrl-C is for the demo alone, which then stops its children in order.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(path: Path) -> str:
    """
    Return the end of a log.
    """
    text = path.read_text(errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-LOG_TAIL_LINES:]) or "(nothing)"
