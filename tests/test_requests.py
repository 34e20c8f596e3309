"""
Requests: Django's own middleware, sessions, admin and templates need no thread.
"""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient

from tests.app.models import Author, Book, Tag


@pytest.fixture
def book(db):
    author = Author.objects.create(name="Author")
    book = Book.objects.create(title="Title", author=author)
    book.tags.add(Tag.objects.create(name="tag"))
    return book


@pytest.mark.only("postgresql")
async def test_requests_at_once_use_no_thread(book):
    async def get(number):
        client = AsyncClient()
        for seen in (1, 2):
            response = await client.get(f"/books/{book.pk}/")
            assert response.json() == {"author": "Author", "seen": seen}
            threads.append(threading.active_count())

    # Importing the URLs and the first request may start what they like.
    await AsyncClient().get(f"/books/{book.pk}/")
    threads = [threading.active_count()]
    await asyncio.gather(*(get(number) for number in range(50)))
    assert set(threads) == {threads[0]}


async def test_template_with_lazy_relations_renders(book):
    response = await AsyncClient().get(f"/books/{book.pk}/page/")
    assert response.content.decode().strip() == "Author: Title #tag"


async def test_admin_works(book):
    client = AsyncClient()
    user = await User.objects.acreate_superuser("admin", password="secret")
    assert await client.alogin(username="admin", password="secret")
    response = await client.get("/admin/")
    assert response.status_code == 200
    response = await client.get(f"/admin/auth/user/{user.pk}/change/")
    assert response.status_code == 200
    assert b"admin" in response.content
