"""
Ends a server of the tests and removes its directory, once the tests are gone.

It is a process of its own, and its standard input is a pipe whose other end the
tests hold. The kernel closes that end however they end: by themselves, by a
signal, by a crash.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil

# What may run in the directory: a test run can die while the server starts.
NAMES = {"initdb", "pg_ctl", "pgbouncer", "postgres", "redis-server"}
PATIENCE = 10.0


def start_sweeper(directory: Path) -> subprocess.Popen[bytes]:
    """
    Start the process; close its standard input to have it do its work.
    """
    command = [sys.executable, __file__, str(directory)]
    # In a session of its own, as Ctrl-C signals every process of the terminal's.
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def sweep(directory: str) -> None:
    while running := _running_in(directory):
        for process in running:
            with contextlib.suppress(psutil.NoSuchProcess):
                # PostgreSQL's "immediate shutdown": nothing of it is to survive.
                process.send_signal(signal.SIGQUIT)
        _, stubborn = psutil.wait_procs(running, timeout=PATIENCE)
        for process in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    shutil.rmtree(directory, ignore_errors=True)


def _running_in(directory: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] in NAMES
        # Its name is from mkdtemp(): nobody else's processes mention it.
        and any(directory in word for word in process.info["cmdline"] or ())
    ]


if __name__ == "__main__":
    # Not before the tests are gone, whatever wants this process to end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.read(sys.stdin.fileno(), 1)
    sweep(sys.argv[1])
