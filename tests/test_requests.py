"""
Requests: Django's own middleware, sessions, admin and templates need no thread.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.test import AsyncClient

from tests.app.models import Author, Book, Tag
from tests.asgi.exchange import request
from tests.threads import NewThreads


@pytest.fixture
def book(db):
    author = Author.objects.create(name="Author")
    book = Book.objects.create(title="Title", author=author)
    book.tags.add(Tag.objects.create(name="tag"))
    return book


@pytest.mark.only("postgresql")
async def test_requests_at_once_use_no_thread(book):
    application = get_asgi_application()
    threads = NewThreads()

    async def get():
        # Not by Django's client, which uses a thread to close the response.
        reply = await request(application, f"/books/{book.pk}/")
        assert json.loads(reply.body) == {"author": "Author", "seen": 1}
        threads.look()

    await asyncio.gather(*(get() for _ in range(100)))
    assert not threads.look()


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
