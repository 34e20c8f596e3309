"""
The a-methods of sessions, auth and the cache do what their sync twins do.
"""

from __future__ import annotations

import datetime
import threading
from importlib import import_module

import pytest
from asgiref.sync import sync_to_async as original_sync_to_async
from django.contrib import auth
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection
from django.db.models import Model
from django.http import HttpResponse
from django.test import RequestFactory, override_settings

from django_evergreen.bridge import await_, run_sync
from tests.threads import NewThreads

from .twins import a_methods, assert_twins

# Sessions.

SESSION = {
    "aclear_expired": lambda: [],
    "acache_key": lambda: [],
    "acreate": lambda: [],
    "acreate_model_instance": lambda: [{"a": 1}],
    "acycle_key": lambda: [],
    "adelete": lambda: [],
    "adelete_test_cookie": lambda: [],
    "aexists": lambda: ["nowhere"],
    "aflush": lambda: [],
    "aget": lambda: ["key"],
    "aget_expire_at_browser_close": lambda: [],
    "aget_expiry_age": lambda: [],
    "aget_expiry_date": lambda: [],
    "ahas_key": lambda: ["key"],
    "aitems": lambda: [],
    "akeys": lambda: [],
    "aload": lambda: [],
    "apop": lambda: ["key"],
    "asave": lambda: [],
    "aset_expiry": lambda: [300],
    "aset_test_cookie": lambda: [],
    "asetdefault": lambda: ["key", 5],
    "atest_cookie_worked": lambda: [],
    "aupdate": lambda: [{"key": 6}],
    "avalues": lambda: [],
}
ENGINES = ["db", "cached_db", "cache", "signed_cookies", "file"]


@pytest.fixture
def sessions(db, tmp_path):
    with override_settings(SESSION_FILE_PATH=str(tmp_path)):
        yield lambda engine: import_module(
            f"django.contrib.sessions.backends.{engine}"
        ).SessionStore()


@pytest.mark.parametrize("engine", ENGINES)
async def test_sessions(engine, sessions):
    def make():
        session = sessions(engine)
        session["key"] = "value"
        session["testcookie"] = "worked"
        session.save()
        return session

    names = a_methods(type(sessions(engine)))
    without = set(names) - set(SESSION)
    assert not without, f"These methods have no case here: {without}"
    for name in names:
        expected, seen = await run_sync(both, make, name, SESSION[name]())
        assert comparable(seen) == comparable(expected), name


def both(make, name, arguments):
    """
    Return the results of a method and its a-twin, and the data they left.
    """
    outcomes = []
    for twin in (name[1:], name):
        session = make()
        attribute = getattr(session, twin)
        # The sync twin of acache_key() is a property.
        result = attribute(*arguments) if callable(attribute) else attribute
        if hasattr(result, "__await__"):
            result = await_(result)
        outcomes.append((result, dict(session.items())))
    return outcomes


def comparable(outcome):
    result, data = outcome
    if isinstance(result, Model):
        result = type(result)
    elif isinstance(result, str) and result.startswith("django.contrib.sessions"):
        # It ends with the key of the session, another one each time.
        result = result.rpartition(".")[0][:25]
    if isinstance(result, datetime.datetime):
        result = result.date()
    if hasattr(result, "__iter__") and not isinstance(result, str | dict):
        result = list(result)
    return result, data


@pytest.mark.only("postgresql")
async def test_database_sessions_need_no_thread(sessions):
    threads = NewThreads()
    for engine in ("db", "cached_db", "signed_cookies"):
        session = sessions(engine)
        await session.aset("key", 1)
        await session.asave()
        assert await session.aget("key") == 1
    assert not threads.look()


async def test_sessions_of_others_keep_their_thread():
    class Store(SessionBase):
        def load(self):
            return threading.get_ident()

    assert await Store().aload() != threading.get_ident()


# Authentication.

USER = {
    "acheck_password": lambda: ["secret"],
    "adelete": lambda: [],
    "aget_all_permissions": lambda: [],
    "aget_group_permissions": lambda: [],
    "aget_user_permissions": lambda: [],
    "ahas_module_perms": lambda: ["auth"],
    "ahas_perm": lambda: ["auth.add_user"],
    "ahas_perms": lambda: [["auth.add_user", "auth.add_group"]],
    "arefresh_from_db": lambda: [],
    "asave": lambda: [],
}
BACKEND = {
    "aauthenticate": lambda: [None, {"kwargs": True, "username": "u", "password": "p"}],
    "aget_all_permissions": lambda: [User.objects.get()],
    "aget_group_permissions": lambda: [User.objects.get()],
    "aget_user": lambda: [User.objects.get().pk],
    "aget_user_permissions": lambda: [User.objects.get()],
    "ahas_module_perms": lambda: [User.objects.get(), "auth"],
    "ahas_perm": lambda: [User.objects.get(), "auth.add_user"],
}
MANAGER = {
    "acreate_superuser": lambda: ["new", "e@example.com", "secret"],
    "acreate_user": lambda: ["new", "e@example.com", "secret"],
    "aget_by_natural_key": lambda: ["user"],
}
AUTH = {
    "aauthenticate": lambda: [
        {"kwargs": True, "username": "user", "password": "secret"}
    ],
}


@pytest.fixture
def user(db):
    user = User.objects.create_user("user", password="secret")
    permission = Permission.objects.filter(codename="add_user").first()
    if permission is None:
        from django.contrib.contenttypes.models import ContentType

        permission = Permission.objects.create(
            codename="add_user",
            name="Can add user",
            content_type=ContentType.objects.get_for_model(User),
        )
    user.user_permissions.add(permission)
    group = Group.objects.create(name="group")
    user.groups.add(group)
    return user


@pytest.mark.parametrize(
    ("make", "cases"),
    [
        pytest.param(lambda: User.objects.get(), USER, id="user"),
        pytest.param(lambda: auth.backends.ModelBackend(), BACKEND, id="backend"),
        pytest.param(lambda: auth, AUTH, id="auth"),
        pytest.param(lambda: User.objects, MANAGER, id="manager"),
    ],
)
async def test_authentication(make, cases, user):
    names = await run_sync(lambda: a_methods(make()))
    if cases is AUTH:
        # alogin(), alogout() and the like need a session: see below.
        names = ["aauthenticate"]
    elif cases is MANAGER:
        from django.db.models import Manager

        names = [name for name in names if not hasattr(Manager, name)]
    without = set(names) - set(cases)
    assert not without, f"These methods have no case here: {without}"
    for name in names:
        # The statement that creates a user contains a salt and the time.
        same_sql = name not in ("acreate_superuser", "acreate_user")
        await assert_twins(make, name, cases[name], same_sql=same_sql)


async def test_login_and_logout(user, sessions):
    request = RequestFactory().get("/")
    request.session = sessions("db")

    async def nobody():
        return AnonymousUser()

    request.auser, request.user = nobody, AnonymousUser()
    await auth.alogin(request, user, "django.contrib.auth.backends.ModelBackend")
    assert await auth.aget_user(request) == user
    await auth.aupdate_session_auth_hash(request, user)
    await auth.alogout(request)
    assert await auth.aget_user(request) == AnonymousUser()


async def test_decorators_of_async_views(user):
    @login_required(login_url="/login/")
    async def for_users(request):
        return HttpResponse("seen")

    @permission_required("auth.add_user", raise_exception=True)
    async def for_few(request):
        return HttpResponse("seen")

    async def nobody():
        return AnonymousUser()

    async def somebody():
        return user

    request = RequestFactory().get("/")
    request.auser = nobody
    assert (await for_users(request)).status_code == 302
    with pytest.raises(PermissionDenied):
        await for_few(request)
    request.auser = somebody
    assert (await for_users(request)).content == b"seen"
    assert (await for_few(request)).content == b"seen"


@pytest.mark.only("postgresql")
async def test_backends_of_others_keep_their_thread(user):
    class Directory(auth.backends.BaseBackend):
        def get_user(self, user_id):
            return threading.get_ident()

    assert await Directory().aget_user(1) != threading.get_ident()
    assert await auth.backends.ModelBackend().aget_user(user.pk) == user


# Cache.

CACHE = {
    "aadd": lambda: ["new", 1],
    "aclear": lambda: [],
    "aclose": lambda: [],
    "adecr": lambda: ["number"],
    "adecr_version": lambda: ["number", {"kwargs": True, "version": 2}],
    "adelete": lambda: ["number"],
    "adelete_many": lambda: [["number", "text"]],
    "aget": lambda: ["number"],
    "aget_many": lambda: [["number", "nowhere"]],
    "aget_or_set": lambda: ["new", 7],
    "ahas_key": lambda: ["number"],
    "aincr": lambda: ["number", 5],
    "aincr_version": lambda: ["number"],
    "aset": lambda: ["new", 1],
    "aset_many": lambda: [{"a": 1, "b": 2}],
    "atouch": lambda: ["number"],
}


def make_cache(kind, path):
    cache = {
        "locmem": lambda: LocMemCache("twins", {}),
        "db": lambda: DatabaseCache("cache_table", {}),
        "dummy": lambda: DummyCache("", {}),
        "file": lambda: FileBasedCache(str(path), {}),
    }[kind]()
    cache.clear()
    for version in (1, 2):
        cache.set("number", 10, version=version)
    cache.set("text", "value")
    return cache


@pytest.fixture
def cache_table(db):
    call_command("createcachetable", "cache_table", verbosity=0)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE cache_table")


@pytest.mark.parametrize("kind", ["locmem", "db", "dummy", "file"])
async def test_cache(kind, cache_table, tmp_path):
    def make():
        return make_cache(kind, tmp_path)

    names = await run_sync(lambda: a_methods(make()))
    without = set(names) - set(CACHE)
    assert not without, f"These methods have no case here: {without}"

    def both(name):
        outcomes = []
        for twin in (name[1:], name):
            *args, last = CACHE[name]() or [None]
            kwargs = {}
            if isinstance(last, dict) and "kwargs" in last:
                kwargs = {"version": last["version"]}
            elif CACHE[name]():
                args = [*args, last]
            cache = make()
            try:
                result = getattr(cache, twin)(*args, **kwargs)
                if hasattr(result, "__await__"):
                    result = await_(result)
            except ValueError as error:
                # What a dummy cache says of a key that it doesn't keep.
                result = str(error)
            left = cache.get_many(["number", "text", "new", "a", "b"])
            outcomes.append((result, left))
        return outcomes

    for name in names:
        expected, seen = await run_sync(both, name)
        assert seen == expected, name


@pytest.mark.only("postgresql")
async def test_caches_that_block_keep_their_thread(cache_table, tmp_path):
    for kind in ("locmem", "db", "dummy", "file"):
        cls = type(await run_sync(make_cache, kind, tmp_path))
        spying = type("Spying", (cls,), {"get": lambda *args: threading.get_ident()})
        ran_in = await spying(str(tmp_path), {}).aget("key")
        assert (ran_in == threading.get_ident()) == (kind != "file"), kind


async def test_sync_to_async_of_users_keeps_its_thread():
    assert await original_sync_to_async(threading.get_ident)() != threading.get_ident()
