"""
``on_commit()`` in async code.
"""

from __future__ import annotations

import asyncio
import functools
import logging

import pytest
from django.db import connection, transaction

from django_evergreen.bridge import NotInBridge, run_sync
from django_evergreen.db import TransactionEnded, aon_commit

from ..app.models import Author


class Calls(list):
    """
    What hooks have noted.
    """

    def sync(self, name):
        return functools.partial(self.append, name)

    def coroutine(self, name):
        async def hook():
            await asyncio.sleep(0)
            self.append(name)

        return hook


@pytest.fixture
def calls():
    return Calls()


async def fail():
    raise ZeroDivisionError


async def test_hooks_of_both_kinds_are_called_in_order_after_the_commit(db, calls):
    async with transaction.atomic():
        await Author.objects.acreate(name="A")
        transaction.on_commit(calls.coroutine(1))
        transaction.on_commit(calls.sync(2))
        await aon_commit(functools.partial(calls.coroutine(3)))
        assert calls == []
    assert calls == [1, 2, 3]


async def test_hook_queries_outside_the_transaction(db, calls):
    async def hook():
        assert not connection.in_atomic_block
        async with transaction.atomic(durable=True):
            calls.append(await Author.objects.acount())
        calls.extend(await asyncio.gather(Author.objects.acount()))

    async with transaction.atomic():
        await Author.objects.acreate(name="A")
        transaction.on_commit(hook)
    assert calls == [1, 1]


async def test_hooks_of_a_block_that_was_rolled_back_are_dropped(db, calls):
    async with transaction.atomic():
        transaction.on_commit(calls.coroutine("outer"))
        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic():
                transaction.on_commit(calls.coroutine("inner"))
                await fail()
        transaction.on_commit(calls.coroutine("after"))
    assert calls == ["outer", "after"]


async def test_hook_of_a_task_doesn_t_depend_on_its_sibling_s_block(db, calls):
    inside, may_fail = asyncio.Event(), asyncio.Event()

    async def sibling():
        async with transaction.atomic():
            inside.set()
            await may_fail.wait()
            await fail()

    async with transaction.atomic():
        task = asyncio.create_task(sibling())
        await inside.wait()
        transaction.on_commit(calls.coroutine("mine"))
        may_fail.set()
        await asyncio.wait([task])
    assert isinstance(task.exception(), ZeroDivisionError)
    assert calls == ["mine"]


async def test_robust_hook_is_logged_and_the_next_one_called(db, calls, caplog):
    async with transaction.atomic():
        transaction.on_commit(fail, robust=True)
        transaction.on_commit(calls.coroutine("next"))
    assert calls == ["next"]
    (record,) = caplog.records
    assert record.name == "django.db.backends.base"
    assert record.levelno == logging.ERROR
    assert "Error calling fail in on_commit()" in record.getMessage()


async def test_hook_that_fails_raises_after_the_commit(db, calls):
    with pytest.raises(ZeroDivisionError):
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            transaction.on_commit(fail)
            transaction.on_commit(calls.coroutine("never"))
    assert calls == []
    assert await Author.objects.acount() == 1


async def test_outside_a_transaction_a_hook_is_called_at_once(db, calls, caplog):
    await aon_commit(calls.coroutine(1))
    await aon_commit(calls.sync(2))
    transaction.on_commit(calls.sync(3))
    await run_sync(transaction.on_commit, calls.coroutine(4))
    assert calls == [1, 2, 3, 4]
    await aon_commit(fail, robust=True)
    assert "Error calling fail in on_commit()" in caplog.text
    with pytest.raises(ZeroDivisionError):
        await aon_commit(fail)


async def test_bare_call_that_would_have_to_wait_is_refused(db, calls):
    with pytest.raises(NotInBridge, match=r"'fail' here.*await aon_commit"):
        transaction.on_commit(fail)


async def test_hook_is_not_accepted_after_the_end_of_the_block(db, calls):
    async def late():
        await aon_commit(calls.sync("late"))

    async with transaction.atomic():
        task = asyncio.create_task(late())
    with pytest.raises(TransactionEnded):
        await task
    assert calls == []


async def test_no_hook_is_called_after_a_cancelled_body(db, calls):
    inside = asyncio.Event()

    async def write():
        async with transaction.atomic():
            await Author.objects.acreate(name="A")
            transaction.on_commit(calls.coroutine("never"))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await inside.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert calls == []
    assert await Author.objects.acount() == 0


def test_coroutine_function_is_awaited_in_sync_django(db, calls):
    with transaction.atomic():
        transaction.on_commit(calls.coroutine(1))
    transaction.on_commit(calls.coroutine(2))
    assert calls == [1, 2]
