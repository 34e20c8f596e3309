"""
HTTP requests, on keep-alive connections: as fast as they are answered, at a constant
rate, or all at once.

On raw protocols, as an HTTP client would cost more than the server that it measures.
At a constant rate, latencies count from the moment at which a request was to be sent,
so that a server that holds up the generator gains nothing by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import resource
import signal
from collections import deque
from dataclasses import dataclass, field
from time import perf_counter, process_time

import uvloop

HOST = "127.0.0.1"
# Seconds until a request that has no answer counts as an error.
DEADLINE = 120.0
# Connections of the constant rate: more than that many wait for one of them.
CLIENTS_AT_RATE = 256
# How many connections are being opened at a time, and how many come from one address,
# which has a limited number of ports.
OPENING, OF_ONE_ADDRESS = 200, 5_000

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Outcome:
    """
    Times are in seconds.
    """

    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""
    seconds: float = 0.0
    # Of this process: the share of the time in which the generator was busy.
    busy: float = 0.0

    @property
    def per_second(self):
        return len(self.latencies) / self.seconds


class Client(asyncio.Protocol):
    """
    One connection, which has one request at a time.
    """

    def __init__(self, load):
        self._load = load
        self._received = b""
        self.intended = None

    def connection_made(self, transport):
        self.transport = transport

    def send(self, intended):
        self.intended = intended
        self.transport.write(self._load.request)

    def data_received(self, data):
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head) if end else None
        if end and length is None:
            self._finish(f"No length: {head!r}")
        elif length is not None and len(body) >= int(length[1]):
            status = head[9:12]
            self._finish("" if status == b"200" else f"{head!r} {body[:300]!r}")

    def connection_lost(self, error):
        if self.intended is not None:
            self._finish(f"The server closed the connection: {error}")

    def _finish(self, error):
        self._received = b""
        intended, self.intended = self.intended, None
        self._load.answered(self, intended, error)


class Load:
    """
    What the three kinds of load have in common.
    """

    def __init__(self, port, path, cookie=""):
        self.port = port
        lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
        lines += [f"Cookie: {cookie}"] if cookie else []
        self.request = "\r\n".join([*lines, "", ""]).encode()
        self.outcome = Outcome()
        self.clients = []
        # Set when there is nothing more to wait for.
        self.is_done = asyncio.Event()

    async def connect(self, count):
        loop = asyncio.get_running_loop()
        places = asyncio.Semaphore(OPENING)

        async def open_one(number):
            source = f"127.0.0.{2 + number // OF_ONE_ADDRESS}", 0
            async with places:
                _, client = await loop.create_connection(
                    lambda: Client(self), HOST, self.port, local_addr=source
                )
            self.clients.append(client)

        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(open_one(number))

    def note(self, intended, error):
        if error:
            self.outcome.errors += 1
            self.outcome.first_error = self.outcome.first_error or error
        else:
            self.outcome.latencies.append(perf_counter() - intended)

    def answered(self, client, intended, error):
        raise NotImplementedError

    @contextlib.contextmanager
    def measuring(self):
        """
        Time the block, at the end of which no request is under way.
        """
        started, cpu = perf_counter(), process_time()
        try:
            yield
        finally:
            self.outcome.seconds = perf_counter() - started
            self.outcome.busy = (process_time() - cpu) / self.outcome.seconds
            late = [c for c in self.clients if c.intended is not None]
            for client in late:
                self.note(client.intended, f"No answer in {DEADLINE:g} s")
                client.intended = None

    async def wait(self):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.is_done.wait(), DEADLINE)

    def close(self):
        for client in self.clients:
            client.intended = None
            client.transport.abort()


class Closed(Load):
    """
    Each client sends its next request when it has the answer to the last.
    """

    is_over = False

    async def run(self, clients, seconds):
        await self.connect(clients)
        with self.measuring():
            self.end = perf_counter() + seconds
            self.busy = clients
            for client in self.clients:
                client.send(perf_counter())
            await self.wait()

    def answered(self, client, intended, error):
        self.note(intended, error)
        now = perf_counter()
        if now < self.end and not error:
            client.send(now)
            return
        self.busy -= 1
        if not self.busy:
            self.is_done.set()


class Constant(Load):
    """
    A request is sent each ``1 / rate`` seconds, whatever became of those before.
    """

    async def run(self, rate, seconds):
        await self.connect(CLIENTS_AT_RATE)
        self.idle = deque(self.clients)
        # When requests were to be sent for which there was no connection.
        self.waiting = deque()
        self.left = self.unanswered = round(rate * seconds)
        self.period = 1 / rate
        loop = asyncio.get_running_loop()
        # As the timers of event loops are up to a millisecond late.
        loop.add_signal_handler(signal.SIGALRM, self.tick)
        with self.measuring():
            self.due = perf_counter() + self.period
            signal.setitimer(signal.ITIMER_REAL, self.period, self.period)
            try:
                await self.wait()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                loop.remove_signal_handler(signal.SIGALRM)
        for due in self.waiting:
            self.note(due, f"Not sent in {DEADLINE:g} s")

    def tick(self):
        now = perf_counter()
        while self.left and self.due <= now:
            self.left -= 1
            self.waiting.append(self.due)
            self.due += self.period
        self.send_waiting()

    def send_waiting(self):
        while self.waiting and self.idle:
            self.idle.popleft().send(self.waiting.popleft())

    def answered(self, client, intended, error):
        self.note(intended, error)
        if not client.transport.is_closing():
            self.idle.append(client)
        self.unanswered -= 1
        self.send_waiting()
        if not self.unanswered:
            self.is_done.set()


class Burst(Load):
    """
    All clients send one request, at the same time.
    """

    async def run(self, clients, when_connected=lambda: None):
        await self.connect(clients)
        when_connected()
        with self.measuring():
            self.unanswered = clients
            for client in self.clients:
                client.send(perf_counter())
            await self.wait()

    def answered(self, client, intended, error):
        self.note(intended, error)
        self.unanswered -= 1
        if not self.unanswered:
            self.is_done.set()


def generate(kind, port, path, *args, cookie=""):
    """
    Return the outcome of a kind of load.
    """

    async def run():
        load = kind(port, path, cookie)
        try:
            await load.run(*args)
        finally:
            load.close()
        return load.outcome

    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run())
    finally:
        gc.enable()


def allow_connections():
    """
    Raise the limit of open files as far as it goes; return it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
