"""
Middleware of third parties, unmodified, over HTTP.

The project has 26, twelve of them from packages and five of those sync only.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from .fix_project import THREADS, token_of, visiting

pytestmark = pytest.mark.slow

REQUESTS = 200

# What differs from one request to the next.
VOLATILE = {"content-length", "date", "etag", "expires", "set-cookie", "x-request-id"}

# Headers that tell which middleware has seen the response.
MARKS = [
    "content-language",
    "content-security-policy",
    "permissions-policy",
    "x-content-type-options",
    "x-frame-options",
    "x-request-id",
]

# Each with a path and its headers.
PAGES = {
    "an async view": ("/page/", {}),
    "a sync view": ("/flag/", {}),
    "a template": ("/template/", {}),
    "another origin": ("/page/", {"Origin": "https://example.com"}),
    "htmx": ("/page/", {"HX-Request": "true"}),
    "another language": ("/page/", {"Accept-Language": "de"}),
    "a file": ("/static/site.css", {}),
    "a flatpage": ("/about/", {}),
    "a redirect": ("/old/", {}),
    "a missing slash": ("/page", {}),
    "a page that's missing": ("/nowhere/", {}),
    "the start of allauth": ("/accounts/", {}),
    "a form of allauth": ("/accounts/login/", {}),
    "a page to log in for": ("/admin/", {}),
}


@pytest.fixture(params=["declared", "undeclared"])
def project(request):
    """
    The project, with its middleware on the loop, and with it in threads.
    """
    return request.getfixturevalue(request.param)


@pytest.mark.only("postgresql")
@visiting
async def test_requests_at_once_use_no_thread(declared):
    async with declared.visitor("admin") as client:
        before = (await client.get("/threads/")).json()
        meetings = (client.get(f"/meet/{REQUESTS}/") for _ in range(REQUESTS))
        answers = await asyncio.gather(*meetings)
        assert (await client.get("/threads/")).json() == before
    expected = {"threads": 1, "user": "admin"}
    assert [answer.json() for answer in answers] == [expected] * REQUESTS


@pytest.mark.only("postgresql")
@visiting
async def test_undeclared_middleware_uses_no_more_threads_than_allowed(undeclared):
    async with undeclared.visitor("admin") as client:
        # More can't meet, as a request keeps its thread.
        meetings = (client.get(f"/meet/{THREADS}/") for _ in range(REQUESTS))
        answers = await asyncio.gather(*meetings)
    expected = {"threads": 1 + THREADS, "user": "admin"}
    assert [answer.json() for answer in answers] == [expected] * REQUESTS


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@visiting
async def test_response_is_the_one_of_stock(project, stock, page):
    assert await response_of(project, page) == await response_of(stock, page)


async def response_of(project, page):
    path, headers = page
    async with project.visitor() as client:
        response = await client.get(path, headers=headers)
    headers = [item for item in response.headers.items() if item[0] not in VOLATILE]
    body = re.sub(r'(csrfToken|csrfmiddlewaretoken)" value=".*?"', "", response.text)
    return response.status_code, sorted(headers), set(response.cookies), body


@visiting
async def test_each_middleware_has_its_say(project):
    headers = {"Origin": "https://example.com", "HX-Request": "true"}
    async with project.visitor(headers=headers) as client:
        page = await client.get("/page/")
        flag = await client.get("/flag/")
        preflight = await client.options(
            "/page/", headers={"Access-Control-Request-Method": "GET"}
        )
        lacks_token = await client.post("/articles/", data={"title": "none"})
        file = await client.get("/static/site.css")
    assert set(MARKS) <= set(page.headers)
    assert page.headers["access-control-allow-origin"] == "https://example.com"
    assert page.json()["is_htmx"] is True
    assert set(flag.cookies) == {"dwf_flag"}
    assert preflight.status_code == 200
    assert "access-control-allow-methods" in preflight.headers
    assert lacks_token.status_code == 403
    assert "max-age" in file.headers["cache-control"]


@visiting
async def test_each_package_records_who_has_made_something(project):
    """
    Each user makes one at the same time as the others. The packages find the user by
    contextvars; one has the request in a transaction.
    """
    names = [f"user{number}" for number in range(10)]
    made = await asyncio.gather(*(make_article(project, name) for name in names))
    everywhere = ("simple_history", "reversion", "auditlog")
    assert made == [
        {**dict.fromkeys(everywhere, name), "address": "127.0.0.1"} for name in names
    ]


async def make_article(project, name):
    async with project.visitor(name) as client:
        token = token_of(await client.get("/template/"))
        answer = await client.post("/articles/", data={"title": name, **token})
        assert answer.status_code == 200, answer.text
        return (await client.get(f"/articles/{answer.json()['pk']}/")).json()


@visiting
async def test_toolbar_lists_the_queries_of_its_request_only(project):
    """
    Requests make queries by turns, at most as many as there are threads.
    """
    names = [f"number{number}" for number in range(THREADS)]
    async with project.visitor() as client:
        paths = (f"/queries/{name}/{THREADS}/?toolbar" for name in names)
        pages = await asyncio.gather(*map(client.get, paths))
    for name, page in zip(names, pages, strict=True):
        listed = re.findall(r"&lt;(number\d+-\d)&gt;", page.text)
        assert sorted(set(listed)) == [f"{name}-{number}" for number in range(3)]
