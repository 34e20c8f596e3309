"""
A real Redis server for the tests, and the cache on it.
"""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import redis
from django.core.cache import caches
from django.test import override_settings

from .sweeper import start_sweeper

PROGRAM = shutil.which("redis-server")
PATIENCE = 10.0


class RedisServer:
    """
    It runs in a temporary directory, listens there on a socket and on two ports of
    the loopback, with and without TLS, and can be stopped and started again.

    It ends with the process that made this object, even when that is killed.
    """

    def __init__(self) -> None:
        # Not in pytest's directory: the path of a socket has about 100 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="evergreen-redis-"))
        self._sweeper = start_sweeper(self.directory)
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self.tls_port = _free_ports()
        self.url = f"unix://{self.directory}/s"
        self.certificate = self.directory / "certificate.pem"
        self._make_certificate()
        # A blocking one, with which to ask the server.
        self.client = redis.Redis.from_url(self.url, decode_responses=True)

    def _make_certificate(self) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
        options = ["-days", "2", "-subj", "/CN=localhost"]
        names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        files = ["-keyout", self.directory / "key.pem", "-out", self.certificate]
        subprocess.run(
            [*command, *options, *names, *files], check=True, capture_output=True
        )

    def start(self) -> None:
        configuration = {
            "dir": self.directory,
            "unixsocket": self.directory / "s",
            "bind": "127.0.0.1",
            "port": self.port,
            "tls-port": self.tls_port,
            "tls-cert-file": self.certificate,
            "tls-key-file": self.directory / "key.pem",
            "tls-ca-cert-file": self.certificate,
            "tls-auth-clients": "no",
            "save": '""',
            # The sweeper knows it by the directory in its command line.
            "set-proc-title": "no",
        }
        path = self.directory / "redis.conf"
        path.write_text("".join(f"{k} {v}\n" for k, v in configuration.items()))
        with (self.directory / "log").open("ab") as log:
            # In a session of its own, as Ctrl-C signals every process of the
            # terminal's.
            self._process = subprocess.Popen(
                [str(PROGRAM), str(path)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_it_listens(self._process)

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            # Not by the client, which in old versions leaves the socket open.
            with socket.socket(socket.AF_UNIX) as s:
                if not s.connect_ex(f"{self.directory}/s"):
                    return
            time.sleep(0.005)
        self.stop()
        log = (self.directory / "log").read_text()
        raise RuntimeError(f"redis-server did not start:\n{log}")

    def stop(self) -> None:
        """
        Kill it, and wait for its end.
        """
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=PATIENCE)

    def remove(self) -> None:
        self.client.close()
        # Not by the sweeper, for which a child that nobody waits for is still there.
        self.stop()
        self._sweeper.communicate(timeout=60)

    def connections(self) -> set[str]:
        """
        Return the ids of the connections that were made in this test.

        The server may learn of a closed one after the next command.
        """
        return self._ids() - self._earlier

    def begin(self) -> None:
        """
        Be running and empty.
        """
        if self._process is None:
            self.start()
        self.client.flushall()
        self._earlier = self._ids()

    def _ids(self) -> set[str]:
        return {connection["id"] for connection in self.client.client_list()}


def _free_ports() -> tuple[int, int]:
    # Not those that the kernel gives to those who connect: while the server is away,
    # one of them would get it, and be connected to itself.
    found: list[int] = []
    for port in random.SystemRandom().sample(range(10_000, 30_000), 1000):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)):
                found.append(port)
        if len(found) == 2:
            return found[0], found[1]
    raise RuntimeError("There are no free ports.")


@pytest.fixture(scope="session")
def redis_process():
    """
    The server, or a loud skip where there can be none.
    """
    if PROGRAM is None:
        pytest.skip(
            "The tests with Redis did not run: there is no redis-server: "
            "apt-get install redis-server"
        )
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def redis_server(redis_process):
    """
    The server, running and empty.
    """
    redis_process.begin()
    yield redis_process
    redis_process.client.close()


@pytest.fixture
def use_cache(redis_server):
    """
    A function that sets CACHES to a RedisCache, and returns that.
    """
    overrides = []

    def use(location=None, **settings):
        backend = "django_evergreen.cache.redis.RedisCache"
        default = {"LOCATION": location or redis_server.url, "BACKEND": backend}
        override = override_settings(CACHES={"default": {**default, **settings}})
        override.enable()
        overrides.append(override)
        return caches["default"]

    yield use
    for override in reversed(overrides):
        override.disable()


@pytest.fixture
def cache(use_cache):
    return use_cache()
