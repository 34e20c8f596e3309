"""
What blocks in Django's own code, and has a thread in the bridge.
"""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.core import mail
from django.core.cache import caches
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.test import override_settings

from django_evergreen.bridge import run_sync
from tests.heartbeat import Heartbeat
from tests.threads import NewThreads

PBKDF2 = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]


class Threads:
    """
    Notes in which thread something was called.
    """

    def __init__(self):
        self.seen = set()

    def note(self, *args, **kwargs):
        self.seen.add(threading.current_thread())


def of_file(tmp_path):
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    return {"default": {"BACKEND": backend, "LOCATION": str(tmp_path)}}


@override_settings(PASSWORD_HASHERS=PBKDF2)
async def test_password_is_hashed_in_a_thread(monkeypatch):
    threads = Threads()
    encode = hashers.PBKDF2PasswordHasher.encode

    def noted(self, *args):
        threads.note()
        return encode(self, *args)

    monkeypatch.setattr(hashers.PBKDF2PasswordHasher, "encode", noted)
    user = User(username="somebody")
    await run_sync(user.set_password, "secret")
    assert await run_sync(user.check_password, "secret")
    assert not await run_sync(user.check_password, "wrong")
    assert threads.seen
    assert threading.current_thread() not in threads.seen


@override_settings(PASSWORD_HASHERS=PBKDF2)
async def test_hashing_does_not_hold_the_loop():
    async with Heartbeat() as heartbeat:
        for _ in range(3):
            await run_sync(User().set_password, "secret")
    assert heartbeat.late < 0.05


async def test_quick_hasher_needs_no_thread():
    threads = NewThreads()
    user = User(username="somebody")
    await run_sync(user.set_password, "secret")
    assert await run_sync(user.check_password, "secret")
    assert not threads.look()


@pytest.mark.filterwarnings("ignore:Django 2028 will not have a default mailer")
async def test_mail_is_sent_in_a_thread(monkeypatch):
    threads = Threads()

    def send_messages(backend, messages):
        threads.note()
        return len(messages)

    monkeypatch.setattr(
        "django.core.mail.backends.smtp.EmailBackend.send_messages", send_messages
    )
    message = mail.EmailMessage("Subject", "Text", to=["a@example.com"])
    assert await run_sync(message.send) == 1
    assert threads.seen
    assert threading.current_thread() not in threads.seen


async def test_file_is_stored_in_a_thread(tmp_path, monkeypatch):
    threads = Threads()
    storage = FileSystemStorage(location=tmp_path)
    save = storage._save

    def noted(*args):
        threads.note()
        return save(*args)

    monkeypatch.setattr(storage, "_save", noted)
    name = await run_sync(storage.save, "file.txt", ContentFile("text"))
    assert (tmp_path / name).read_text() == "text"
    assert threads.seen
    assert threading.current_thread() not in threads.seen


async def test_cache_that_blocks_has_a_thread(tmp_path, monkeypatch):
    threads = Threads()
    with override_settings(CACHES=of_file(tmp_path)):
        cache = caches["default"]
        is_expired = cache._is_expired

        def noted(file):
            threads.note()
            return is_expired(file)

        monkeypatch.setattr(cache, "_is_expired", noted)

        def use():
            cache.set("key", 1)
            cache.set_many({"other": 2})
            return cache.get("key"), cache.get_or_set("new", 3), "other" in cache

        assert await run_sync(use) == (1, 3, True)
    assert threads.seen
    assert threading.current_thread() not in threads.seen


async def test_cache_in_memory_has_none():
    threads = NewThreads()
    await run_sync(caches["default"].set, "key", 1)
    assert await run_sync(caches["default"].get, "key") == 1
    assert not threads.look()


def test_cache_that_blocks_is_as_ever_without_a_loop(tmp_path):
    with override_settings(CACHES=of_file(tmp_path)):
        cache = caches["default"]
        cache.set("key", 1)
        assert cache.get_many(["key", "other"]) == {"key": 1}
        assert type(cache).__name__ == "FileBasedCache"


@pytest.mark.parametrize("name", ["set_many", "get_or_set", "incr_version"])
def test_methods_keep_their_names_and_docs(tmp_path, name):
    with override_settings(CACHES=of_file(tmp_path)):
        method = getattr(caches["default"], name)
    assert method.__name__ == name
    assert method.__doc__
