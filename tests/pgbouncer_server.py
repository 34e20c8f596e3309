"""
A real PgBouncer for the tests, in front of their PostgreSQL server.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .sweeper import start_sweeper

HOST = "127.0.0.1"
# With older ones, a late cancellation ends some other query; see its PR 717.
MINIMUM = (1, 18)
# Debian puts it where only root looks.
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PATIENCE = 10.0


def find_obstacle() -> str:
    """
    Return why there can be no PgBouncer here, or nothing.
    """
    if PROGRAM is None:
        return "there is no pgbouncer: apt-get install pgbouncer"
    if (version := _version()) < MINIMUM:
        return f"pgbouncer {version} is too old: install {MINIMUM} or newer"
    return ""


def _version() -> tuple[int, ...]:
    command = [str(PROGRAM), "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # "PgBouncer 1.18.0", and more lines.
    return tuple(int(part) for part in shown.split()[1].split(".")[:2])


class PgBouncer:
    """
    It runs in a temporary directory, on a free port of the loopback, and can be
    stopped and started again.

    It ends with the process that made this object, even when that is killed.
    """

    def __init__(self, postgresql) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="evergreen-pgbouncer-"))
        # It runs as a user of its own when the tests run as root.
        self.directory.chmod(0o755)
        self._sweeper = start_sweeper(self.directory)
        self._postgresql = postgresql
        self._process: subprocess.Popen[bytes] | None = None
        self.host = HOST
        self.port = _free_port()

    def start(self, **settings: object) -> None:
        """
        Start it with these settings besides those it needs.
        """
        configuration = self.directory / "pgbouncer.ini"
        configuration.write_text(self._configure(settings))
        command = [str(PROGRAM), *_user(), str(configuration)]
        with (self.directory / "log").open("ab") as log:
            # In a session of its own, as Ctrl-C signals every process of the
            # terminal's.
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_it_listens(self._process)

    def _configure(self, settings: dict[str, object]) -> str:
        # With "any", whoever connects becomes this user, and may administer.
        upstream = f"host={self._postgresql.host} port={self._postgresql.port}"
        settings = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            **settings,
        }
        lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
        return f"[databases]\n* = {upstream} user=postgres\n[pgbouncer]\n{lines}\n"

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.005)
            else:
                return
        self.stop()
        raise RuntimeError(f"PgBouncer did not start:\n{self.read_log()}")

    @property
    def pid(self) -> int | None:
        return self._process and self._process.pid

    def stop(self, number: int = signal.SIGKILL) -> None:
        """
        Send it a signal and wait for its end.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            # From 1.23 on, it waits for its clients unless it's asked twice.
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            process.wait(timeout=PATIENCE)

    def remove(self) -> None:
        # The same way as after a crash, so that each run tests it.
        self._sweeper.communicate(timeout=60)
        if self._process is not None:
            self._process.wait(timeout=PATIENCE)

    def read_log(self) -> str:
        return (self.directory / "log").read_text()


def _user() -> list[str]:
    # It refuses to run as root.
    return ["-u", "nobody"] if os.geteuid() == 0 else []


def _free_port() -> int:
    # Not one that the kernel gives to those who connect: while PgBouncer is away,
    # one of them would get it, and be connected to itself.
    for port in random.SystemRandom().sample(range(10_000, 30_000), 1000):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind((HOST, port))
            return port
    raise RuntimeError(f"There is no free port on {HOST}.")
