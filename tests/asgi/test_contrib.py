"""
Django's contrib apps, over HTTP, with no thread on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.contrib.auth import aauthenticate, authenticate
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.db import connection
from django.test import override_settings

from django_evergreen.bridge import run_sync

from ..heartbeat import Heartbeat
from .fix_project import log_in, token_of, visiting

SESSION_ENGINES = ["db", "cached_db", "cache", "signed_cookies"]
# Seconds for which the loop may be held.
AT_MOST = 0.05


async def assert_no_threads(client):
    """
    The server has its main thread only, and has had no other, as none ends.
    """
    if connection.vendor == "postgresql":
        assert (await client.get("/threads/")).json() == {"threads": 1}


async def user_of(client):
    return (await client.get("/page/")).json()["user"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", SESSION_ENGINES)
@visiting
async def test_user_logs_in_and_out(contrib, engine):
    async with contrib.visitor(headers={"X-Session-Engine": engine}) as client:
        assert await user_of(client) == ""
        await log_in(client, "user1")
        assert await user_of(client) == "user1"
        token = token_of(await client.get("/template/"))
        assert "Logged out" in (await client.post("/auth/logout/", data=token)).text
        assert await user_of(client) == ""
        await assert_no_threads(client)


@pytest.mark.slow
@pytest.mark.parametrize("engine", SESSION_ENGINES)
@visiting
async def test_each_of_many_visitors_has_a_session(contrib, engine):
    async def visit(number):
        name = f"user{number}"
        headers = {"X-Session-Engine": engine}
        async with contrib.visitor(name, headers=headers) as client:
            pages = [(await client.get("/page/")).json() for _ in range(3)]
        seen = [(page["user"], page["visits"]) for page in pages]
        assert seen == [(name, 1), (name, 2), (name, 3)]

    await asyncio.gather(*map(visit, range(10)))
    async with contrib.visitor() as client:
        await assert_no_threads(client)


@pytest.mark.slow
@visiting
async def test_wrong_password_is_told(contrib):
    async with contrib.visitor() as client:
        page = await client.get("/auth/login/")
        fields = {"username": "user1", "password": "wrong", **token_of(page)}
        answer = await client.post("/auth/login/", data=fields)
        assert answer.status_code == 200
        assert "correct username and password" in answer.text
        await assert_no_threads(client)


@pytest.mark.slow
@visiting
async def test_message_is_shown_once(contrib):
    async with contrib.visitor(follow_redirects=True) as client:
        assert "It was added." in (await client.get("/message/")).text
        assert "It was added." not in (await client.get("/template/")).text
        await assert_no_threads(client)


@pytest.mark.slow
@visiting
async def test_form_needs_its_token(contrib):
    async with contrib.visitor() as client:
        page = await client.get("/template/")
        refused = await client.post("/articles/", data={"title": "T"})
        token = token_of(page)
        made = await client.post("/articles/", data={"title": "T", **token})
        assert (refused.status_code, made.status_code) == (403, 200)
        assert "CSRF" in refused.text
        await assert_no_threads(client)


@pytest.mark.slow
@visiting
async def test_language_of_each_request_is_its_own(contrib):
    async def yes(language):
        headers = {"Accept-Language": language}
        page = await client.get("/page/", headers=headers)
        return page.headers["Content-Language"], page.json()["yes"]

    async with contrib.visitor() as client:
        answers = await asyncio.gather(*map(yes, ["de", "en"] * 20))
        token = token_of(await client.get("/template/"))
        await client.post("/i18n/setlang/", data={"language": "de", **token})
        assert (await client.get("/page/")).json()["yes"] == "Ja"
        await assert_no_threads(client)
    assert answers == [("de", "Ja"), ("en", "Yes")] * 20


@pytest.mark.slow
@visiting
async def test_missing_pages_are_looked_up(contrib):
    """
    Of the current site: in its flatpages, then in its redirects.
    """
    async with contrib.visitor() as client:
        assert (await client.get("/page/")).json()["site"] == "127.0.0.1"
        flatpage = await client.get("/about/")
        redirect = await client.get("/old/")
        missing = await client.get("/nowhere/")
        assert (flatpage.status_code, flatpage.text) == (200, "<h1>About</h1>us\n")
        assert (redirect.status_code, redirect.headers["location"]) == (301, "/page/")
        assert missing.status_code == 404
        await assert_no_threads(client)


@pytest.mark.slow
@visiting
async def test_page_is_compressed_and_sent_when_it_has_changed(contrib):
    async with contrib.visitor() as client:
        page = await client.get("/about/")
        again = await client.get(
            "/about/", headers={"If-None-Match": page.headers["etag"]}
        )
        template = await client.get("/template/")
        assert again.status_code == 304
        assert template.headers["content-encoding"] == "gzip"
        await assert_no_threads(client)


# Hashing passwords.


class SlowHasher(PBKDF2PasswordHasher):
    """
    Django's default one, which notes where it runs.
    """

    threads = []

    def encode(self, password, salt, iterations=None):
        self.threads.append(threading.current_thread())
        return super().encode(password, salt, iterations)


@pytest.fixture
def user(db):
    with override_settings(PASSWORD_HASHERS=[f"{__name__}.SlowHasher"]):
        user = User.objects.create_user("user", password="secret")
        SlowHasher.threads.clear()
        yield user


@pytest.mark.parametrize(
    "check",
    [aauthenticate, lambda **names: run_sync(authenticate, **names)],
    ids=["a coroutine", "sync code in the bridge"],
)
@pytest.mark.parametrize("username", ["user", "nobody"])
async def test_checking_a_password_does_not_hold_the_loop(user, check, username):
    """
    Django hashes it for users that don't exist, too.
    """
    # The loop waits for a thread to start, and that for a core.
    await asyncio.to_thread(SlowHasher.threads.clear)
    async with Heartbeat() as heartbeat:
        found = await check(username=username, password="secret")
    assert found == (user if username == "user" else None)
    assert SlowHasher.threads
    assert threading.main_thread() not in SlowHasher.threads
    assert heartbeat.late < AT_MOST
