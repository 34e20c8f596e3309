"""
``async_unsafe``: silent in the bridge, strict elsewhere, and it names the remedy.
"""

from __future__ import annotations

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection
from django.template.loader import render_to_string

from django_evergreen.bridge import portal, run_sync
from tests.app.models import Author, Book, Profile
from tests.threads import NewThreads


@pytest.fixture
def book(db):
    author = Author.objects.create(name="Ada")
    Profile.objects.create(author=author)
    return Book.objects.create(title="Title", author=author)


async def test_query_in_bare_async_code_shows_its_sql(db):
    with pytest.raises(SynchronousOnlyOperation, match=r'SELECT .* FROM "app_author"'):
        list(Author.objects.all())


async def test_lazy_foreign_key_in_bare_async_code_names_every_remedy(book):
    lazy = await Book.objects.aget(pk=book.pk)
    with pytest.raises(SynchronousOnlyOperation) as caught:
        lazy.author
    message = str(caught.value)
    for part in (
        "You cannot call this from an async context",
        "Book.author was not loaded with the object",
        "select_related('author')",
        "aget(",
        "await run_sync(function)",
        "@portal",
    ):
        assert part in message


async def test_other_lazy_fields_are_named_too(book):
    author = await Author.objects.aget()
    with pytest.raises(SynchronousOnlyOperation, match=r"Author\.profile was not"):
        author.profile
    deferred = await Book.objects.only("rating").aget()
    with pytest.raises(SynchronousOnlyOperation, match="@portal"):
        deferred.title


async def test_query_in_bare_async_code_names_the_remedies(book):
    with pytest.raises(SynchronousOnlyOperation, match="run_sync") as caught:
        list(Book.objects.all())
    assert "was not loaded" not in str(caught.value)


async def test_lazy_foreign_key_under_portal_is_one_query_and_no_thread(book):
    @portal
    async def read():
        lazy = await Book.objects.aget(pk=book.pk)
        connection.force_debug_cursor = True
        connection.queries_log.clear()
        name = lazy.author.name
        connection.force_debug_cursor = False
        return name, len(connection.queries_log)

    await Book.objects.acount()
    threads = NewThreads()
    assert await read() == ("Ada", 1)
    # SQLite's connection has its one thread, which was there before.
    assert not threads.look()


async def test_template_with_lazy_relations_renders_in_run_sync(book):
    lazy = await Book.objects.aget(pk=book.pk)
    text = await run_sync(render_to_string, "book.html", {"book": lazy})
    assert text.strip() == "Ada: Title"
