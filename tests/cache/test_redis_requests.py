"""
``RedisCache`` in requests: the cache middleware and sessions, without a thread.
"""

from __future__ import annotations

import asyncio

import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.test import override_settings

from tests.asgi.exchange import request
from tests.threads import NewThreads

CACHE = "django.middleware.cache"
SESSIONS = "django.contrib.sessions"


@pytest.fixture
def urls():
    with override_settings(ROOT_URLCONF="tests.cache.urls"):
        yield


@pytest.fixture
def cached_pages(urls, cache):
    middleware = [
        f"{CACHE}.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        f"{CACHE}.FetchFromCacheMiddleware",
    ]
    with override_settings(MIDDLEWARE=middleware):
        yield cache


async def get(application, path, cookie=""):
    """
    Return the body of a page, and the cookies that came with it.
    """
    reply = await request(application, path, headers=[(b"cookie", cookie.encode())])
    assert reply.status == 200, reply.body
    return reply.body, "; ".join(f"{k}={v}" for k, v in reply.cookies.items())


async def test_page_comes_from_the_cache(cached_pages):
    application = get_asgi_application()
    threads = NewThreads()
    first, _ = await get(application, "/number/")

    async def again():
        assert (await get(application, "/number/"))[0] == first
        threads.look()

    await asyncio.gather(*(again() for _ in range(50)))
    assert not threads.look()
    await cached_pages.aclear()
    assert (await get(application, "/number/"))[0] != first


async def visit(application, times):
    cookie, seen = "", []
    for _ in range(times):
        body, new = await get(application, "/visits/", cookie)
        cookie = new or cookie
        seen.append(int(body))
    return seen


async def test_session_in_the_cache_needs_no_thread(urls, cache):
    threads = NewThreads()

    async def visitor():
        assert await visit(application, 3) == [1, 2, 3]
        threads.look()

    with override_settings(SESSION_ENGINE=f"{SESSIONS}.backends.cache"):
        application = get_asgi_application()
        await asyncio.gather(*(visitor() for _ in range(20)))
    assert not threads.look()


@pytest.mark.parametrize("forgotten", [False, True])
async def test_session_in_cache_and_database_survives_the_cache(
    urls, cache, db, forgotten
):
    with override_settings(SESSION_ENGINE=f"{SESSIONS}.backends.cached_db"):
        application = get_asgi_application()
        body, cookie = await get(application, "/visits/")
        assert body == b"1"
        if forgotten:
            await cache.aclear()
        assert (await get(application, "/visits/", cookie))[0] == b"2"


@pytest.mark.only("postgresql")
async def test_session_in_cache_and_database_needs_no_thread(urls, cache, db):
    threads = NewThreads()

    async def visitor():
        assert await visit(application, 2) == [1, 2]
        threads.look()

    with override_settings(SESSION_ENGINE=f"{SESSIONS}.backends.cached_db"):
        application = get_asgi_application()
        await asyncio.gather(*(visitor() for _ in range(20)))
    assert not threads.look()
