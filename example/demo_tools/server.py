"""
The example under uvicorn, in a process of its own.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo_tools.processes import running, tail
from demo_tools.steps import StepError

HOST = "127.0.0.1"
# A request that works only when the application and its database do.
PROBE = "/api/countries/FR/"
# How long the server may take to answer its first request, in seconds.
DEADLINE = 20.0
INTERVAL = 0.05


@dataclass(frozen=True)
class Server:
    """
    A server that has answered its first request.
    """

    url: str
    pid: int
    log: Path

    def failure(self, reason: str) -> StepError:
        """
        Return a failure that quotes the server's log.
        """
        return StepError(
            f"{reason}\nThe end of the server's log:\n{tail(self.log)}",
            "Mend what the log or the error names, and run the demo again. "
            "If they name nothing of yours, please report the text above.",
        )


@contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[Server]:
    """
    Run the example, yield when it answers, stop it at the end of the block.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="evergreen-demo-") as directory:
        log = Path(directory) / "server.log"
        with (
            log.open("w") as output,
            running(_uvicorn(port), environment, output, output) as process,
        ):
            server = Server(f"http://{HOST}:{port}", process.pid, log)
            _wait_until_up(server, process)
            yield server


def _uvicorn(port: int) -> list[str]:
    """
    The same options for both stacks. It uses uvloop where that is installed.
    """
    options = f"--host {HOST} --port {port} --workers 1 --lifespan auto"
    options += " --no-access-log --log-level warning --timeout-graceful-shutdown 2"
    return [sys.executable, "-m", "uvicorn", "atlas.asgi:application", *options.split()]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def _wait_until_up(server: Server, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not _answers(server):
        if process.poll() is not None:
            ended = f"The server ended with exit code {process.returncode}."
            raise server.failure(ended)
        if time.monotonic() > deadline:
            late = f"The server did not answer within {DEADLINE:.0f} s."
            raise server.failure(late)
        time.sleep(INTERVAL)


def _answers(server: Server) -> bool:
    try:
        urllib.request.urlopen(server.url + PROBE, timeout=DEADLINE).close()
    except urllib.error.HTTPError as error:
        failed = f"The server answered GET {PROBE} with {error}."
        raise server.failure(failed) from error
    except OSError:
        return False
    return True
