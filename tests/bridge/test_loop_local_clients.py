"""
``LoopLocal`` with real clients: redis-py, httpx, aiohttp and elasticsearch-py.

Redis is a real server. Elasticsearch is not: its official client, and those of
HTTP, talk to a small HTTP server of this file over real sockets. What is tested
is how a client's connections belong to its event loop, not what a service does.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import httpx
import pytest
import redis.asyncio
from elasticsearch import AsyncElasticsearch

from django_evergreen.bridge import LoopLocal, await_, run_sync

PATIENCE = 10.0
NAME = "evergreen"
LOOPS = 3

# As in a project: names in a module, whose addresses are settings.


def make_redis():
    return redis.asyncio.Redis.from_url(os.environ["REDIS_URL"], client_name=NAME)


def make_httpx():
    return httpx.AsyncClient(base_url=os.environ["HTTP_URL"])


def make_aiohttp():
    return aiohttp.ClientSession(os.environ["HTTP_URL"])


def make_elasticsearch():
    return AsyncElasticsearch(os.environ["HTTP_URL"])


redis_client = LoopLocal(make_redis, close=redis.asyncio.Redis.aclose)
httpx_client = LoopLocal(make_httpx, close=httpx.AsyncClient.aclose)
aiohttp_client = LoopLocal(make_aiohttp, close=aiohttp.ClientSession.close)
elasticsearch_client = LoopLocal(make_elasticsearch, close=AsyncElasticsearch.close)


# The servers


class Handler(BaseHTTPRequestHandler):
    """
    Answers what Elasticsearch says of itself, and tells of its connections.
    """

    # Keeps connections open between requests.
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections.put("opened")

    def finish(self):
        super().finish()
        self.server.connections.put("closed")

    def do_GET(self):
        body = json.dumps({"version": {"number": "9.0.0"}}).encode()
        self.send_response(200)
        # By which the client knows its server.
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        # What happens to them, in order.
        self.connections = queue.SimpleQueue()

    def handle_error(self, request, client_address):
        # A connection that the client has reset.
        pass


@pytest.fixture
def http_server(monkeypatch):
    """
    A server in a thread, which has another one for each connection.
    """
    with Server() as server:
        monkeypatch.setenv("HTTP_URL", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join(PATIENCE)


@pytest.fixture
def redis_server(redis_server, monkeypatch):
    """
    A blocking client of the server, with which to ask it.
    """
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    return redis_server.client


# What the clients do


async def use_httpx(client):
    response = await client.get("/")
    return response.json()["version"]["number"]


async def use_aiohttp(client):
    async with client.get("/") as response:
        return (await response.json())["version"]["number"]


async def use_elasticsearch(client):
    return (await client.info())["version"]["number"]


async def use_redis(client):
    await client.set("version", "9.0.0")
    return (await client.get("version")).decode()


OF_HTTP = pytest.mark.parametrize(
    ("client", "use", "make"),
    [
        pytest.param(aiohttp_client, use_aiohttp, make_aiohttp, id="aiohttp"),
        pytest.param(
            elasticsearch_client,
            use_elasticsearch,
            make_elasticsearch,
            id="elasticsearch",
        ),
        pytest.param(httpx_client, use_httpx, make_httpx, id="httpx"),
    ],
)


@OF_HTTP
def test_http_client_serves_successive_loops(run, http_server, client, use, make):
    """
    Each loop has its own client, whose connection is closed with the loop.

    The server is this file's own, for the client of Elasticsearch too.
    """

    async def main():
        assert await use(client) == await use(client()) == "9.0.0"
        return client()

    objects = set()
    for _ in range(LOOPS):
        objects.add(run(main()))
        # One, which served both requests.
        assert http_server.connections.get(timeout=PATIENCE) == "opened"
        assert http_server.connections.get(timeout=PATIENCE) == "closed"
    assert len(objects) == LOOPS
    assert http_server.connections.empty()
    assert repr(client).endswith("event loops: 0>")


def connected(redis_server):
    return sum(client["name"] == NAME for client in redis_server.client_list())


def test_redis_client_serves_successive_loops(run, redis_server):
    """
    Each loop has its own client, whose connections are closed with the loop.
    """

    async def main():
        await asyncio.gather(*(redis_client.incr("counter") for _ in range(5)))
        async with redis_client.pipeline() as pipeline:
            pipeline.incr("counter")
            (value,) = await pipeline.execute()
        seen = await run_sync(lambda: await_(redis_client.get("counter")))
        assert int(seen) == value
        assert connected(redis_server)
        return redis_client()

    objects = {run(main()) for _ in range(LOOPS)}
    assert len(objects) == LOOPS
    assert redis_server.get("counter") == str(LOOPS * 6)
    # The server may learn of a closed socket after the next command.
    while connected(redis_server):
        pass
    assert repr(redis_client).endswith("event loops: 0>")


def test_redis_client_is_closed_before_its_loop(run, redis_server):
    async def main():
        first = redis_client()
        assert await use_redis(first) == "9.0.0"
        await redis_client.aclose()
        while connected(redis_server):
            pass
        assert await use_redis(redis_client) == "9.0.0"
        assert redis_client() is not first

    run(main())
    while connected(redis_server):
        pass


# What happens without


def fail_on_second_loop(make, use):
    async def first():
        # In the loop, because that of aiohttp must be.
        client = make()
        await use(client)
        return client

    client = asyncio.run(first())
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        asyncio.run(use(client))


# For the connections that nobody could close any more.
LEAKS = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@LEAKS
@OF_HTTP
def test_global_http_client_fails_on_the_second_loop(http_server, client, use, make):
    """
    Why there is a LoopLocal: the connection kept by the first loop is useless.

    On asyncio; uvloop closes such connections with the loop, and warns of it.
    """
    fail_on_second_loop(make, use)
    gc.collect()


@LEAKS
def test_global_redis_client_fails_on_the_second_loop(redis_server):
    fail_on_second_loop(make_redis, use_redis)
    gc.collect()
