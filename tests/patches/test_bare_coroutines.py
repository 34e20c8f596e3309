"""
An a-method that a coroutine awaits does what its sync twin does without any loop.

The cases are those of test_orm_twins.py, which awaits the a-methods in the bridge.
"""

from __future__ import annotations

import inspect

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_evergreen.bridge import run_sync
from tests.app.models import Author, Book, Tag

from .bare import no_new_thread, rolled_back, statements
from .test_orm_twins import DIFFERS_IN_DJANGO, OWNERS, data
from .twins import a_methods, collect, normal, split

__all__ = ["data"]


def contents():
    """
    Return what is in the tables, told without keys.
    """
    books = [
        (
            book.title,
            book.rating,
            book.author.name,
            book.publisher and book.publisher.name,
            sorted(tag.name for tag in book.tags.all()),
            sorted(note.text for note in book.notes.all()),
            sorted(review.text for review in book.reviews.all()),
        )
        for book in Book.objects.order_by("title", "pk")
    ]
    authors = Author.objects.order_by("name").values_list("name", flat=True)
    tags = Tag.objects.order_by("name").values_list("name", flat=True)
    return books, list(authors), list(tags)


def without_loop(make, name, arguments):
    """
    Call the sync twin as a script does; return its result, SQL and effect.
    """
    with transaction.atomic():
        owner, (args, kwargs) = make(), split(arguments())
        with CaptureQueriesContext(connection) as captured:
            result = getattr(owner, name[1:])(*args, **kwargs)
            if inspect.isgenerator(result):
                result = list(result)
        outcome = normal(result), statements(captured), contents()
        transaction.set_rollback(True)
    return outcome


async def awaited(make, name, arguments):
    """
    Await the a-method here, in a coroutine; return the same of it.
    """

    def prepare():
        return make(), split(arguments())

    async with rolled_back():
        owner, (args, kwargs) = await run_sync(prepare)
        captured = CaptureQueriesContext(connection)
        await run_sync(captured.__enter__)
        call = getattr(owner, name)(*args, **kwargs)
        result = await (collect(call) if inspect.isasyncgen(call) else call)
        captured.__exit__(None, None, None)
        return normal(result), statements(captured), await run_sync(contents)


@pytest.mark.parametrize("owner", OWNERS)
def test_result_sql_and_effect_are_those_of_the_sync_twin(owner, data, run):
    make, cases = OWNERS[owner]
    names = a_methods(make())
    for name in names:
        expected = without_loop(make, name, cases[name])
        seen = run(awaited(make, name, cases[name]))
        assert seen[0] == expected[0], name
        assert seen[2] == expected[2], name
        if (owner, name) not in DIFFERS_IN_DJANGO:
            assert seen[1] == expected[1], name


@pytest.mark.parametrize("owner", OWNERS)
async def test_no_a_method_starts_a_thread(owner, data):
    make, cases = OWNERS[owner]
    names = await run_sync(lambda: a_methods(make()))
    await Book.objects.acount()
    with no_new_thread():
        for name in names:
            await awaited(make, name, cases[name])
