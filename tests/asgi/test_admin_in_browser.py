"""
A session in the admin, over HTTP and in a real browser, with no thread on PostgreSQL.
"""

from __future__ import annotations

import json
import re

import pytest
from django.db import connection

from .fix_browser import DEADLINE
from .fix_project import token_of, visiting

pytestmark = pytest.mark.slow

LOADED = "return document.readyState == 'complete'"
ADMIN = "/admin/third_party/article/"


def assert_no_threads(answer):
    if connection.vendor == "postgresql":
        assert json.loads(answer) == {"threads": 1}


class Pages:
    """
    The admin, as a browser without scripts sees it.
    """

    def __init__(self, client):
        self._client = client

    async def open(self, path):
        self._page = await self._client.get(path)
        assert self._page.status_code == 200, self._page.text
        return self._page.text

    async def submit(self, **fields):
        """
        Post the form of the current page; follow to the next.
        """
        path = str(self._page.url)
        data = {**fields, **token_of(self._page)}
        self._page = await self._client.post(path, data=data)
        assert self._page.status_code == 200, self._page.text
        return self._page.text


def find_pk(page, title):
    return re.search(rf'article/(\d+)/change/[^>]*">{title}<', page)[1]


@visiting
async def test_session_over_http(contrib):
    async with contrib.visitor(follow_redirects=True) as client:
        pages = Pages(client)
        assert "Log in" in await pages.open(ADMIN)
        page = await pages.submit(username="admin", password="secret")
        assert "Select article to change" in page

        await pages.open(f"{ADMIN}add/")
        page = await pages.submit(title="First over HTTP")
        assert "was added successfully" in page
        pk = find_pk(page, "First over HTTP")
        assert "was added successfully" not in await pages.open(ADMIN)
        assert "First over HTTP" in await pages.open(f"{ADMIN}?q=over")
        assert "First over HTTP" not in await pages.open(f"{ADMIN}?q=nothing")

        await pages.open(f"{ADMIN}{pk}/change/")
        page = await pages.submit(title="Second over HTTP")
        assert "was changed successfully" in page
        page = await pages.open(f"{ADMIN}{pk}/history/")
        assert "Added." in page
        assert "Changed Title." in page

        await pages.open(f"{ADMIN}{pk}/delete/")
        page = await pages.submit(post="yes")
        assert "was deleted successfully" in page
        assert "Second over HTTP" not in await pages.open(ADMIN)

        page = await client.post("/admin/logout/", data=token_of(pages._page))
        assert "Logged out" in page.text
        assert "Log in" in await pages.open(ADMIN)
        assert_no_threads(await pages.open("/threads/"))


@visiting
async def test_form_with_an_error_is_shown_again(contrib):
    async with contrib.visitor(follow_redirects=True) as client:
        pages = Pages(client)
        await pages.open("/admin/")
        page = await pages.submit(username="admin", password="wrong")
        assert "enter the correct" in page
        await pages.submit(username="admin", password="secret")
        await pages.open(f"{ADMIN}add/")
        assert "This field is required." in await pages.submit(title="")
        assert_no_threads(await pages.open("/threads/"))


@visiting
async def test_user_who_is_no_staff_is_refused(contrib):
    async with contrib.visitor("user1") as client:
        page = await client.get("/admin/", follow_redirects=True)
        assert "not authorized to" in page.text
        assert_no_threads((await client.get("/threads/")).text)


class Window:
    """
    The browser's only one.
    """

    def __init__(self, browser, url):
        self._browser, self._url = browser, url

    def open(self, path):
        self._browser.get(self._url + path)

    def find(self, selector):
        from selenium.webdriver.common.by import By

        return self._browser.find_element(By.CSS_SELECTOR, selector)

    @property
    def text(self):
        return self.find("body").text

    def fill(self, **fields):
        for name, value in fields.items():
            field = self.find(f'[name="{name}"]')
            field.clear()
            field.send_keys(value)

    def click(self, selector):
        """
        Click what leads to another page, and wait for that.
        """
        from selenium.webdriver.support.expected_conditions import staleness_of
        from selenium.webdriver.support.wait import WebDriverWait

        body = self.find("body")
        self.find(selector).click()
        wait = WebDriverWait(self._browser, DEADLINE)
        wait.until(staleness_of(body))
        wait.until(lambda browser: browser.execute_script(LOADED))

    def click_submit(self, name="_save"):
        self.click(f'[type="submit"][name="{name}"]')


def test_session_in_a_browser(contrib, browser):
    window = Window(browser, contrib.url)
    window.open("/admin/")
    window.fill(username="admin", password="secret")
    window.click("#login-form [type=submit]")
    assert "Site administration" in window.text

    window.click(f'a[href="{ADMIN}add/"]')
    window.fill(title="First in a browser")
    window.click_submit()
    assert "was added successfully" in window.find(".messagelist .success").text
    window.fill(q="nothing")
    window.click("#changelist-search [type=submit]")
    assert "First in a browser" not in window.text
    window.fill(q="a browser")
    window.click("#changelist-search [type=submit]")

    window.click("#result_list tbody th a")
    window.fill(title="Second in a browser")
    window.click_submit()
    assert "was changed successfully" in window.find(".messagelist .success").text
    window.click("#result_list tbody th a")
    window.click(".historylink")
    assert "Changed Title." in window.find("#change-history").text

    browser.back()
    window.click(".deletelink")
    window.click("#content form [type=submit]")
    assert "was deleted successfully" in window.find(".messagelist .success").text
    window.click("#logout-form button")
    assert "Logged out" in window.text
    window.open("/threads/")
    assert_no_threads(window.find("pre").text)
