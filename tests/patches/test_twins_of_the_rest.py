"""
Twins outside the tables of querysets, sessions, users and the cache.

Each is awaited in a coroutine, and compared with its sync twin without a loop.
"""

from __future__ import annotations

import inspect

import django
import pytest
from django.contrib import auth
from django.contrib.auth import hashers
from django.contrib.auth.backends import RemoteUserBackend
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core import paginator
from django.db import connection, transaction
from django.http import Http404
from django.shortcuts import (
    aget_list_or_404,
    aget_object_or_404,
    get_list_or_404,
    get_object_or_404,
)
from django.test.utils import CaptureQueriesContext

from django_evergreen.bridge import run_sync
from tests.app.models import Book

from .bare import rolled_back, statements
from .test_orm_twins import data
from .test_twins_of_contrib import user
from .twins import a_methods, collect, normal

__all__ = ["data", "user"]


def outcome_of(call):
    """
    Return the result or the error of a sync call, its SQL, and roll back.
    """
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        try:
            result = call()
        except Exception as error:
            result = error
        transaction.set_rollback(True)
    return comparable(result), statements(captured)


async def outcome_of_awaited(call):
    async with rolled_back():
        captured = CaptureQueriesContext(connection)
        await run_sync(captured.__enter__)
        try:
            result = call()
            result = await (collect(result) if inspect.isasyncgen(result) else result)
        except Exception as error:
            result = error
        captured.__exit__(None, None, None)
    return comparable(result), statements(captured)


def comparable(result):
    if isinstance(result, Exception):
        return type(result), str(result)
    return normal(list(result) if isinstance(result, range) else result)


# Shortcuts.


@pytest.mark.parametrize(
    ("twin", "a_twin"),
    [
        (get_object_or_404, aget_object_or_404),
        (get_list_or_404, aget_list_or_404),
    ],
)
@pytest.mark.parametrize("title", ["Book 1", "none such"])
def test_shortcuts(twin, a_twin, title, data, run):
    expected = outcome_of(lambda: twin(Book, title=title))
    seen = run(outcome_of_awaited(lambda: a_twin(Book, title=title)))
    assert seen == expected
    assert (seen[0][0] is Http404) == (title == "none such")


# The paginator, whose a-methods are on classes of their own.

PAGINATOR = {
    "acount": (),
    "aget_elided_page_range": (2,),
    "aget_page": ("nonsense",),
    "anum_pages": (),
    "apage": (2,),
    "apage_range": (),
    "avalidate_number": ("2",),
}
PAGE = dict.fromkeys(
    (
        "aend_index",
        "aget_object_list",
        "ahas_next",
        "ahas_other_pages",
        "ahas_previous",
        "anext_page_number",
        "aprevious_page_number",
        "astart_index",
    ),
    (),
)
BAD_NUMBERS = [0, 9, "x", None]


def sync_page(pages, name, arguments):
    """
    Return what the sync paginator or its page says, by a method or attribute.
    """
    found = getattr(pages, name)
    result = found(*arguments) if callable(found) else found
    return list(result) if hasattr(result, "__next__") else result


def rows_of(page):
    return list(page.object_list)


@pytest.mark.parametrize("name", PAGINATOR)
def test_paginator(name, data, run):
    if django.VERSION < (6, 0):
        return

    def call():
        pages = paginator.Paginator(Book.objects.all(), 2)
        result = sync_page(pages, name[1:], PAGINATOR[name])
        return rows_of(result) if name in ("apage", "aget_page") else result

    async def acall():
        pages = paginator.AsyncPaginator(Book.objects.all(), 2)
        result = getattr(pages, name)(*PAGINATOR[name])
        if inspect.isasyncgen(result):
            return await collect(result)
        result = await result
        if name in ("apage", "aget_page"):
            return await result.aget_object_list()
        return result

    assert run(outcome_of_awaited(acall)) == outcome_of(call)


@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_paginator_rejects_the_same_numbers(number, data, run):
    if django.VERSION < (6, 0):
        return
    queryset = Book.objects.order_by("pk")
    expected = outcome_of(lambda: paginator.Paginator(queryset, 2).page(number))
    seen = run(
        outcome_of_awaited(lambda: paginator.AsyncPaginator(queryset, 2).apage(number))
    )
    assert seen == expected
    assert issubclass(seen[0][0], paginator.InvalidPage)


@pytest.mark.parametrize("name", PAGE)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_page(name, number, data, run):
    if django.VERSION < (6, 0):
        return

    def call():
        page = paginator.Paginator(Book.objects.all(), 2).page(number)
        if name == "aget_object_list":
            return rows_of(page)
        return sync_page(page, name[1:], ())

    async def acall():
        pages = paginator.AsyncPaginator(Book.objects.all(), 2)
        return await getattr(await pages.apage(number), name)()

    seen, expected = run(outcome_of_awaited(acall)), outcome_of(call)
    # The count is asked for once, whoever of page and paginator needs it.
    assert seen == expected


# Users, backends and passwords.

ANONYMOUS = {
    "aget_all_permissions": (),
    "aget_group_permissions": (),
    "aget_user_permissions": (),
    "ahas_module_perms": ("auth",),
    "ahas_perm": ("auth.add_user",),
    "ahas_perms": (["auth.add_user"],),
}


def test_anonymous_user(user, run):
    names = a_methods(AnonymousUser())
    assert set(names) == set(ANONYMOUS)
    for name in names:
        arguments = ANONYMOUS[name]
        expected = outcome_of(lambda: getattr(AnonymousUser(), name[1:])(*arguments))
        seen = run(
            outcome_of_awaited(lambda: getattr(AnonymousUser(), name)(*arguments))
        )
        assert seen == expected, name


REMOTE = {
    "aauthenticate": lambda user: (None, "newcomer"),
    "aconfigure_user": lambda user: (None, user),
    "aget_all_permissions": lambda user: (user,),
    "aget_group_permissions": lambda user: (user,),
    "aget_user": lambda user: (user.pk,),
    "aget_user_permissions": lambda user: (user,),
    "ahas_module_perms": lambda user: (user, "auth"),
    "ahas_perm": lambda user: (user, "auth.add_user"),
}


def test_remote_user_backend(user, run):
    names = a_methods(RemoteUserBackend())
    assert set(names) == set(REMOTE)
    for name in names:
        # Each with a user that has cached no permission yet.
        arguments = [REMOTE[name](User.objects.get()) for _ in range(2)]
        backend = RemoteUserBackend()
        expected = outcome_of(lambda: getattr(backend, name[1:])(*arguments[0]))
        seen = run(outcome_of_awaited(lambda: getattr(backend, name)(*arguments[1])))
        assert seen[0] == expected[0], name
        # What creates a user contains the time.
        if name != "aauthenticate":
            assert seen[1] == expected[1], name


def test_natural_key_of_groups(user, run):
    expected = outcome_of(lambda: Group.objects.get_by_natural_key("group"))
    seen = run(outcome_of_awaited(lambda: Group.objects.aget_by_natural_key("group")))
    assert seen == expected


@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_check_password(password, user, run):
    expected = hashers.check_password(password, user.password)
    assert run(hashers.acheck_password(password, user.password)) == expected
    assert run(user.acheck_password(password)) == expected
    assert expected == (password == "secret")


@pytest.mark.parametrize("who", ["somebody", "nobody"])
def test_check_password_with_timing_attack_mitigation(who, user, run):
    name = "check_password_with_timing_attack_mitigation"
    if not hasattr(auth, name):
        assert django.VERSION < (6, 1)
        return
    somebody = user if who == "somebody" else None
    expected = getattr(auth, name)(somebody, "secret")
    seen = run(getattr(auth, f"a{name}")(somebody, "secret"))
    assert seen == expected
