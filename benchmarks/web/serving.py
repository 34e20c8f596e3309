"""
Servers in processes of their own, on the first core; all else is on the second one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import psutil

from .generator import HOST

# Seconds in which a server has to answer first, and to end.
DEADLINE = 30.0
# Characters of a log that are quoted.
TAIL = 3000


def share_out_cores():
    """
    Put this process on the second core, and what it starts; return the first one, or
    None if there is only one.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return None
    os.sched_setaffinity(0, others[:1])
    return first


class Server:
    """
    A server that has answered its first request.
    """

    def __init__(self, way, port, process, log):
        self.way, self.port = way, port
        self._process, self._log = psutil.Process(process.pid), log

    def tail(self):
        """
        Return the end of its log.
        """
        return _tail(self._log)

    def cpu_seconds(self):
        times = self._process.cpu_times()
        return times.user + times.system

    def threads(self):
        return self._process.num_threads()

    def memory(self):
        """
        Return the resident kilobytes now and, since :meth:`forget_peak`, at the most.
        """
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in text.splitlines())
        return tuple(int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))

    def forget_peak(self):
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def serving(way, core, database=None, pool_size=None, uvloop=False):
    """
    Serve in one of the WAYS during the block; or, in the way "nothing", nothing.
    """
    environment = {**os.environ, "DATABASE": json.dumps(database), "PGAPPNAME": way}
    if core is not None:
        environment["CORE"] = str(core)
    if pool_size is not None:
        environment["POOL_SIZE"] = str(pool_size)
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        with socket.create_server((HOST, 0), backlog=4096) as listener:
            command = [sys.executable, "-m", "benchmarks.web.server", way]
            process = subprocess.Popen(
                [*command, str(listener.fileno()), *(["--uvloop"] if uvloop else [])],
                env=environment,
                pass_fds=[listener.fileno()],
                # As Ctrl-C signals every process of the terminal's.
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            port = listener.getsockname()[1]
        try:
            _wait_until_up(way, port, log)
            yield Server(way, port, process, log)
        finally:
            _stop(process)


def _wait_until_up(way, port, log):
    # It's listening already, so this waits until it's answered.
    url = f"http://{HOST}:{port}/empty/"
    try:
        urllib.request.urlopen(url, timeout=DEADLINE).close()
    except OSError as error:
        msg = f"The server of {way!r} doesn't answer: {error}\n{_tail(log)}"
        raise SystemExit(msg) from error


def _tail(log):
    log.seek(0)
    return log.read()[-TAIL:]


def _stop(process):
    process.terminate()
    try:
        process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(DEADLINE)
