"""
Every a-method of the ORM does what its sync twin does.

The methods are found by introspection: a new one of a new Django fails here
until it has a case.
"""

from __future__ import annotations

import datetime

import django
import pytest
from django.core import paginator
from django.db.models import (
    Count,
    Prefetch,
    aprefetch_related_objects,
    prefetch_related_objects,
)

from django_evergreen.bridge import await_, run_sync
from tests.app.models import Author, Book, Note, Publisher, Review, Tag

from .twins import a_methods, assert_twins, normal, perform

DAY = datetime.date(2026, 1, 1)


def kw(**kwargs):
    return {"kwargs": True, **kwargs}


@pytest.fixture
def data(db):
    author = Author.objects.create(name="Ada")
    publisher = Publisher.objects.create(name="P")
    for number in range(5):
        book = Book.objects.create(
            title=f"Book {number}",
            rating=number,
            author=author,
            publisher=publisher,
            published=DAY + datetime.timedelta(days=number),
        )
        Review.objects.create(book=book, text=f"Review {number}")
        Note.objects.create(subject=book, text=f"Note {number}")
        book.tags.add(Tag.objects.create(name=f"Tag {number}"))


def author():
    return Author.objects.get()


def book(number=0):
    return Book.objects.get(title=f"Book {number}")


def tag(number=0):
    return Tag.objects.get(name=f"Tag {number}")


def changed_books():
    books = list(Book.objects.all())
    for each in books:
        each.rating += 1
    return books


def new_book(**kwargs):
    return {"title": "New", "author": author(), **kwargs}


# Arguments of the methods of Book's QuerySet and managers.
BOOKS = {
    "aaggregate": lambda: [kw(n=Count("pk"))],
    "abulk_create": lambda: [[Book(**new_book()), Book(**new_book())]],
    "abulk_update": lambda: [changed_books(), ["rating"]],
    "acontains": lambda: [book()],
    "acount": lambda: [],
    "acreate": lambda: [kw(**new_book())],
    "adelete": lambda: [],
    "aearliest": lambda: [],
    "aexists": lambda: [],
    "aexplain": lambda: [],
    "afirst": lambda: [],
    "aget": lambda: [kw(title="Book 0")],
    "aget_or_create": lambda: [kw(title="New", defaults={"author": author()})],
    "ain_bulk": lambda: [[book(1).pk, book(2).pk]],
    "aiterator": lambda: [kw(chunk_size=2)],
    "alast": lambda: [],
    "alatest": lambda: ["rating"],
    "aupdate": lambda: [kw(rating=9)],
    "aupdate_or_create": lambda: [kw(title="Book 0", defaults={"rating": 8})],
}
# What related managers have besides, or take in another way.
REVERSE_FK = {
    "aadd": lambda: [book(4)],
    "aclear": lambda: [],
    "aremove": lambda: [book(1)],
    "aset": lambda: [[book(1), book(2)]],
}
TAGS = {
    **{name: BOOKS[name] for name in ("acount", "aexists", "afirst", "alast")},
    **{name: BOOKS[name] for name in ("aaggregate", "aexplain", "aiterator")},
    "aadd": lambda: [tag(3), tag(4)],
    "abulk_create": lambda: [[Tag(name="A"), Tag(name="B")]],
    "abulk_update": lambda: [[tag(0)], ["name"]],
    "aclear": lambda: [],
    "acontains": lambda: [tag()],
    "acreate": lambda: [kw(name="New")],
    "adelete": lambda: [],
    "aearliest": lambda: ["name"],
    "aget": lambda: [kw(name="Tag 0")],
    "aget_or_create": lambda: [kw(name="New")],
    "ain_bulk": lambda: [],
    "alatest": lambda: ["name"],
    "aremove": lambda: [tag(0)],
    "aset": lambda: [[tag(1), tag(2)]],
    "aupdate": lambda: [kw(name="Changed")],
    "aupdate_or_create": lambda: [kw(name="Tag 0", defaults={"name": "Changed"})],
}
NOTES = {
    **TAGS,
    "aadd": lambda: [Note.objects.get(text="Note 3")],
    "abulk_create": lambda: [[Note(subject=book(), text="A")]],
    "abulk_update": lambda: [[Note.objects.get(text="Note 0")], ["text"]],
    "acontains": lambda: [Note.objects.get(text="Note 0")],
    "acreate": lambda: [kw(text="New")],
    "aearliest": lambda: ["text"],
    "aget": lambda: [kw(text="Note 0")],
    "aget_or_create": lambda: [kw(text="New")],
    "alatest": lambda: ["text"],
    "aremove": lambda: [Note.objects.get(text="Note 0")],
    "aset": lambda: [[Note.objects.get(text="Note 1")]],
    "aupdate": lambda: [kw(text="Changed")],
    "aupdate_or_create": lambda: [kw(text="Note 0", defaults={"text": "Changed"})],
}
MODEL = {
    "adelete": lambda: [],
    "arefresh_from_db": lambda: [kw(fields=["title"])],
    "asave": lambda: [kw(update_fields=["title"])],
}
OWNERS = {
    "QuerySet": (lambda: Book.objects.all(), BOOKS),
    "Manager": (lambda: Book.objects, BOOKS),
    "reverse foreign key": (lambda: author().books, {**BOOKS, **REVERSE_FK}),
    "nullable reverse foreign key": (
        lambda: Publisher.objects.get().books,
        {**BOOKS, **REVERSE_FK},
    ),
    "many to many": (lambda: book().tags, TAGS),
    "reverse many to many": (lambda: tag().books, {**BOOKS, **REVERSE_FK}),
    "generic relation": (lambda: book().notes, NOTES),
    "Model": (book, MODEL),
}


# Django's count() and exists() of many-to-many managers ask the table between the
# models only; their a-twins, which Django inherits from the QuerySet, ask both.
DIFFERS_IN_DJANGO = {
    (owner, name)
    for owner in ("many to many", "reverse many to many")
    for name in ("acount", "aexists")
}


@pytest.mark.parametrize("owner", OWNERS)
async def test_a_methods_give_the_same_result_by_the_same_sql(owner, data):
    make, cases = OWNERS[owner]
    names = await run_sync(lambda: a_methods(make()))
    assert names, "No a-method was found."
    without = set(names) - set(cases)
    assert not without, f"These methods of {owner} have no case here: {without}"
    queries = 0
    for name in names:
        arguments = cases[name]
        if name == "aget_or_create" and owner == "nullable reverse foreign key":
            arguments = lambda: [kw(**new_book(rating=77))]  # noqa: E731
        same_sql = (owner, name) not in DIFFERS_IN_DJANGO
        seen = await assert_twins(make, name, arguments, same_sql=same_sql)
        queries += len(seen.sql)
    assert queries


async def test_iteration_gives_the_same_rows_by_the_same_sql(data):
    async def iterate(queryset):
        return [row async for row in queryset]

    for queryset in (
        Book.objects.filter(rating__gt=1),
        Book.objects.values("title", "rating"),
        Book.objects.values_list("title", flat=True),
        Book.objects.select_related("author", "publisher"),
        Book.objects.prefetch_related("tags", "reviews", "notes"),
        Book.objects.raw("SELECT * FROM app_book ORDER BY id"),
    ):
        expected = await run_sync(lambda: perform(lambda: list(fresh(queryset))))
        seen = await run_sync(lambda: perform(lambda: iterate(fresh(queryset))))
        assert seen == expected
        assert seen.sql


def fresh(queryset):
    raw = hasattr(queryset, "raw_query")
    return Book.objects.raw(queryset.raw_query) if raw else queryset.all()


async def test_aprefetch_related_objects(data):
    def prefetch(function):
        books = list(Book.objects.all())
        lookup = Prefetch("author", Author.objects.only("name"))
        result = function(books, "tags", lookup)
        if result is not None:
            await_(result)
        return [(b.author.name, [t.name for t in b.tags.all()]) for b in books]

    def both():
        return [
            perform(lambda: prefetch(function))
            for function in (prefetch_related_objects, aprefetch_related_objects)
        ]

    expected, seen = await run_sync(both)
    assert seen == expected
    assert len(seen.sql) == 3


PAGES = {
    "acount": lambda: [],
    "anum_pages": lambda: [],
    "apage": lambda: [2],
    "aget_page": lambda: ["nonsense"],
    "apage_range": lambda: [],
    "aget_elided_page_range": lambda: [2],
}
PAGE = {
    name: (lambda: [])
    for name in (
        "ahas_next",
        "ahas_other_pages",
        "ahas_previous",
        "aend_index",
        "anext_page_number",
        "aprevious_page_number",
        "astart_index",
        "aget_object_list",
    )
}


async def test_async_paginator_pages_like_the_sync_one(data):
    if django.VERSION < (6, 0):
        assert not hasattr(paginator, "AsyncPaginator")
        return
    queryset = Book.objects.all()

    def sync_side():
        pages = paginator.Paginator(queryset.all(), 2)
        page = pages.page(2)
        return [
            pages.count,
            pages.num_pages,
            list(pages.page_range),
            list(pages.get_elided_page_range(2)),
            normal(list(pages.get_page("nonsense"))),
            normal(list(page)),
            page.has_next(),
            page.has_previous(),
            page.has_other_pages(),
            page.next_page_number(),
            page.previous_page_number(),
            page.start_index(),
            page.end_index(),
        ]

    async def async_side():
        pages = paginator.AsyncPaginator(queryset.all(), 2)
        page = await pages.apage(2)
        called = [
            await pages.acount(),
            await pages.anum_pages(),
            list(await pages.apage_range()),
            [number async for number in pages.aget_elided_page_range(2)],
            normal([row async for row in await pages.aget_page("nonsense")]),
            normal(await page.aget_object_list()),
            await page.ahas_next(),
            await page.ahas_previous(),
            await page.ahas_other_pages(),
            await page.anext_page_number(),
            await page.aprevious_page_number(),
            await page.astart_index(),
            await page.aend_index(),
        ]
        assert public_a_names(pages) <= PAGES.keys(), "A method has no case here."
        assert public_a_names(page) <= PAGE.keys(), "A method has no case here."
        return called

    expected = await run_sync(sync_side)
    assert await async_side() == expected


def public_a_names(thing):
    return {
        name
        for name in dir(thing)
        if name.startswith("a")
        and callable(getattr(thing, name))
        and (hasattr(thing, name[1:]) or hasattr(paginator.Page, name[1:]))
    } - {"allow_empty_first_page"}
