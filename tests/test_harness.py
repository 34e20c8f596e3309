"""
The tests test what they claim to test.
"""

from __future__ import annotations

import asyncio

from django.db import connection

from django_evergreen.db._wrapper import ScopedWrapper

from .app.models import Author


def test_connection_is_of_the_chosen_database(request):
    assert request.config.getoption("--database") == connection.vendor
    assert isinstance(connection._connections["default"], ScopedWrapper)


def test_rows_of_one_test(db):
    Author.objects.create(name="A")
    assert Author.objects.count() == 1


def test_rows_are_not_there_in_the_next(db):
    Author.objects.create(name="A")
    assert Author.objects.count() == 1


async def test_async_tests_run_on_each_loop(request):
    module = type(asyncio.get_running_loop()).__module__
    assert module.partition(".")[0] == request.node.callspec.id
