"""
What the ORM is used for, on the event loop.
"""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from django.db import connection, connections, transaction
from django.db.models import Prefetch, signals
from django.dispatch import Signal

from django_evergreen.bridge import await_, run_sync
from django_evergreen.db import statistics
from tests.app.models import Author, Book, Note, Place, Restaurant, Review, Tag


@pytest.fixture
def data(db):
    for name in ("Ada", "Bo"):
        author = Author.objects.create(name=name)
        for number in range(3):
            book = Book.objects.create(title=f"{name} {number}", author=author)
            book.tags.add(Tag.objects.create(name=f"{name} {number}"))
            Review.objects.create(book=book, text=f"on {name} {number}")
            Note.objects.create(subject=book, text=f"to {name} {number}")


async def test_select_related_needs_no_second_query(data):
    books = [book async for book in Book.objects.select_related("author")]
    assert [book.author.name for book in books] == ["Ada"] * 3 + ["Bo"] * 3


async def test_nested_prefetch_related(data):
    authors = Author.objects.order_by("name").prefetch_related(
        Prefetch("books", Book.objects.filter(title__endswith="1")),
        "books__tags",
        "books__reviews",
    )
    seen = [
        (author.name, book.title, book.tags.all()[0].name, book.reviews.all()[0].text)
        async for author in authors
        for book in author.books.all()
    ]
    assert seen == [
        ("Ada", "Ada 1", "Ada 1", "on Ada 1"),
        ("Bo", "Bo 1", "Bo 1", "on Bo 1"),
    ]


async def test_generic_foreign_keys(data):
    notes = Note.objects.order_by("pk").prefetch_related("subject")
    assert [note.subject.title async for note in notes][:2] == ["Ada 0", "Ada 1"]
    book = await Book.objects.prefetch_related("notes").afirst()
    assert [note.text for note in book.notes.all()] == ["to Ada 0"]
    await book.notes.acreate(text="another")
    assert await book.notes.acount() == 2


async def test_raw_queries(data):
    query = "SELECT * FROM app_book WHERE title LIKE %s ORDER BY id"
    raw = Book.objects.raw(query, ["Bo%"])
    assert [book.title async for book in raw] == ["Bo 0", "Bo 1", "Bo 2"]


async def test_multi_table_inheritance_deletes_both_rows(db):
    restaurant = await Restaurant.objects.acreate(name="R", stars=3)
    assert await Place.objects.acount() == 1
    deleted, by_model = await restaurant.adelete()
    assert (deleted, by_model) == (2, {"app.Restaurant": 1, "app.Place": 1})
    assert await Place.objects.acount() == 0


ROWS = 200_000
COUNT_UP = (
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %s) "
    "INSERT INTO app_author (name) SELECT 'name' FROM c"
)


@pytest.mark.slow
async def test_aiterator_reads_200_000_rows_in_bounded_memory(db, loop_factory):
    def insert():
        with connection.cursor() as cursor:
            cursor.execute(COUNT_UP, [ROWS])

    await run_sync(insert)
    tracemalloc.start()
    try:
        seen = 0
        async for author in Author.objects.aiterator(chunk_size=1000):
            seen += author.name == "name"
            if seen == ROWS // 2 and connection.vendor == "postgresql":
                assert await run_sync(server_side_cursors) == 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == ROWS
    # All of them at once are more than 100 MB.
    assert peak < 20_000_000
    assert statistics().holders == ()


def server_side_cursors():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_cursors WHERE name LIKE '_django_curs%'"
        )
        return cursor.fetchone()[0]


@pytest.mark.only("postgresql")
async def test_iteration_abandoned_beside_another_leaves_no_cursor_open(data):
    async for _ in Author.objects.aiterator(chunk_size=1):
        async for _ in Book.objects.aiterator(chunk_size=1):
            break
    async with asyncio.timeout(10):
        while statistics().holders:
            await asyncio.sleep(0)
    assert statistics().size == 1
    assert await run_sync(server_side_cursors) == 0


async def test_signals_run_on_the_sender_s_connection_and_in_its_transaction(db):
    seen = []

    def receive(sender, instance, **kwargs):
        seen.append((kwargs["signal"], connections["default"], count()))

    def count():
        return Author.objects.count()

    def save():
        with transaction.atomic():
            await_(Author(name="A").asave())
            transaction.set_rollback(True)
        return connections["default"]

    for signal in (signals.pre_save, signals.post_save):
        signal.connect(receive, sender=Author)
    try:
        wrapper = await run_sync(save)
    finally:
        for signal in (signals.pre_save, signals.post_save):
            signal.disconnect(receive, sender=Author)
    assert seen == [(signals.pre_save, wrapper, 0), (signals.post_save, wrapper, 1)]
    assert await Author.objects.acount() == 0


async def test_m2m_changed_is_received(data):
    actions = []

    def receive(action, **kwargs):
        actions.append((action, Tag.objects.count()))

    signals.m2m_changed.connect(receive, sender=Book.tags.through)
    try:
        book = await Book.objects.afirst()
        await book.tags.aclear()
    finally:
        signals.m2m_changed.disconnect(receive, sender=Book.tags.through)
    assert actions == [("pre_clear", 6), ("post_clear", 6)]


async def test_signals_with_receivers_of_both_kinds(db):
    signal = Signal()
    loop = asyncio.get_running_loop()

    def sync_receiver(**kwargs):
        return "sync", Author.objects.count()

    async def async_receiver(**kwargs):
        assert asyncio.get_running_loop() is loop
        return "async", await Author.objects.acount()

    signal.connect(sync_receiver)
    signal.connect(async_receiver)
    expected = [(sync_receiver, ("sync", 0)), (async_receiver, ("async", 0))]
    assert await signal.asend(sender=None) == expected
    assert await signal.asend_robust(sender=None) == expected
    assert await run_sync(signal.send, sender=None) == expected
    assert await run_sync(signal.send_robust, sender=None) == expected
