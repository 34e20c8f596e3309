"""
Receivers of signals belong to the transaction of the sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextvars import ContextVar

import django
import pytest
from django.db import connection, connections, transaction
from django.db.models import signals
from django.db.transaction import atomic
from django.dispatch import Signal

from django_evergreen.bridge import in_bridge, run_sync
from django_evergreen.db import statistics
from tests.app.models import Author, Book, Tag

# Before, receivers have contexts of their own, unless sync code sends to sync ones.
django_6_1 = pytest.mark.skipif(django.VERSION < (6, 1), reason="is new in Django 6.1")
variable = ContextVar("variable", default="unset")


class Failure(Exception):
    """
    Rolls a block back.
    """


@contextlib.contextmanager
def receiving(signal, *receivers, sender=None):
    for receiver in receivers:
        signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        for receiver in receivers:
            signal.disconnect(receiver, sender=sender)


# How a signal is sent: from bare async code and from bridged code.


async def asend(signal):
    return await signal.asend(sender=None)


async def asend_robust(signal):
    return await signal.asend_robust(sender=None)


async def send(signal):
    return await run_sync(signal.send, sender=None)


async def send_robust(signal):
    return await run_sync(signal.send_robust, sender=None)


each_way = pytest.mark.parametrize(
    "send_by",
    [asend, asend_robust, send, send_robust],
    ids=lambda send_by: send_by.__name__,
)


# Of models.


async def test_post_save_sees_the_row_before_it_is_committed(db):
    seen = []

    def receive(instance, created, **kwargs):
        found = Author.objects.filter(pk=instance.pk).exists()
        seen.append(
            (created, found, connection.in_atomic_block, connections["default"])
        )

    with receiving(signals.post_save, receive, sender=Author):
        with contextlib.suppress(Failure):
            async with atomic():
                wrapper = connections["default"]
                await Author(name="A").asave()
                await Author.objects.acreate(name="B")
                raise Failure
    assert seen == [(True, True, True, wrapper)] * 2
    assert await Author.objects.acount() == 0
    assert statistics().size == 1


async def test_post_save_of_a_joined_task_sees_its_uncommitted_row(db):
    seen = []

    def receive(instance, **kwargs):
        seen.append((instance.name, Author.objects.filter(pk=instance.pk).exists()))

    with receiving(signals.post_save, receive, sender=Author):
        with contextlib.suppress(Failure):
            async with atomic():
                await asyncio.gather(*(Author.objects.acreate(name=n) for n in "ABC"))
                raise Failure
    assert sorted(seen) == [("A", True), ("B", True), ("C", True)]
    assert await Author.objects.acount() == 0


async def test_what_post_save_writes_is_rolled_back_with_the_row(db):
    def receive(instance, **kwargs):
        Book.objects.create(title="by the receiver", author=instance)

    with receiving(signals.post_save, receive, sender=Author):
        with pytest.raises(Failure):
            async with atomic():
                await Author.objects.acreate(name="A")
                assert await Book.objects.acount() == 1
                raise Failure
    assert await Book.objects.acount() == 0


async def test_post_save_that_fails_rolls_the_row_back(db):
    def receive(**kwargs):
        raise Failure

    with receiving(signals.post_save, receive, sender=Author):
        async with atomic():
            with pytest.raises(Failure):
                async with atomic():
                    await Author.objects.acreate(name="A")
            await Tag.objects.acreate(name="kept")
    assert await Author.objects.acount() == 0
    assert await Tag.objects.acount() == 1


async def test_async_post_save_joins_the_transaction(db):
    seen = []

    async def receive(instance, **kwargs):
        seen.append(await Author.objects.filter(pk=instance.pk).aexists())
        await Book.objects.acreate(title="by the receiver", author=instance)
        async with atomic():
            await Tag.objects.acreate(name="by the receiver")

    with receiving(signals.post_save, receive, sender=Author):
        with contextlib.suppress(Failure):
            async with atomic():
                await Author.objects.acreate(name="A")
                assert await Book.objects.acount() == 1
                raise Failure
    assert seen == [True]
    assert await Book.objects.acount() == await Tag.objects.acount() == 0
    assert statistics().size == 1


async def test_async_m2m_changed_joins_django_s_own_block(db):
    """
    Django sends it inside a block that it has opened itself, so that receivers,
    which run in tasks of their own if they are several, must belong to that.
    """
    seen = []

    async def one(action, **kwargs):
        seen.append((action, await Tag.objects.filter(books__title="T").acount()))

    async def other(action, **kwargs):
        async with atomic():
            await Author.objects.acreate(name=action)

    book = await Book.objects.acreate(
        title="T", author=await Author.objects.acreate(name="A")
    )
    tags = [await Tag.objects.acreate(name=name) for name in ("x", "y")]
    with receiving(signals.m2m_changed, one, other, sender=Book.tags.through):
        async with asyncio.timeout(10):
            await book.tags.aset(tags)
    assert seen == [("pre_add", 0), ("post_add", 2)]
    assert await Author.objects.filter(name__endswith="_add").acount() == 2


# Of any kind.


@each_way
async def test_receivers_of_both_kinds_join_the_transaction(db, send_by):
    signal, threads = Signal(), set()
    loop = asyncio.get_running_loop()

    def sync_receiver(**kwargs):
        assert in_bridge()
        threads.add(threading.current_thread())
        Author.objects.create(name="sync")
        return connections["default"]

    async def async_receiver(**kwargs):
        assert asyncio.get_running_loop() is loop
        threads.add(threading.current_thread())
        await Author.objects.acreate(name="async")
        return connections["default"]

    async def another(**kwargs):
        async with atomic():
            return await async_receiver()

    with receiving(signal, sync_receiver, async_receiver, another):
        with contextlib.suppress(Failure):
            async with asyncio.timeout(10), atomic():
                responses = await send_by(signal)
                assert {wrapper for _, wrapper in responses} == {connections["default"]}
                assert await Author.objects.acount() == 3
                raise Failure
    assert threads == {threading.current_thread()}
    assert await Author.objects.acount() == 0
    assert statistics().size == 1


@each_way
async def test_receivers_outside_a_transaction_see_what_is_committed(db, send_by):
    signal = Signal()

    def sync_receiver(**kwargs):
        return Author.objects.count()

    async def async_receiver(**kwargs):
        return await Author.objects.acount()

    await Author.objects.acreate(name="A")
    with receiving(signal, sync_receiver, async_receiver):
        responses = await send_by(signal)
    assert [count for _, count in responses] == [1, 1]
    assert statistics().holders == ()


@each_way
async def test_async_receiver_that_fails_rolls_back(db, send_by):
    signal = Signal()

    async def receive(**kwargs):
        await Author.objects.acreate(name="A")
        raise Failure

    with receiving(signal, receive):
        with contextlib.suppress(Failure):
            async with atomic():
                for _, response in await send_by(signal):
                    # What the robust ones return.
                    raise response
    assert await Author.objects.acount() == 0


@django_6_1
@each_way
async def test_context_of_a_sync_receiver_flows_back(db, send_by):
    signal = Signal()

    def receive(**kwargs):
        assert variable.get() == "the sender"
        Author.objects.count()
        variable.set("the receiver")

    variable.set("the sender")
    with receiving(signal, receive):
        await send_by(signal)
    assert variable.get() == "the receiver"


@django_6_1
@each_way
async def test_context_of_an_async_receiver_flows_back(db, send_by):
    signal = Signal()

    async def receive(**kwargs):
        assert variable.get() == "the sender"
        await Author.objects.acount()
        variable.set("the receiver")

    variable.set("the sender")
    with receiving(signal, receive):
        await send_by(signal)
    assert variable.get() == "the receiver"


@django_6_1
@each_way
async def test_contexts_of_several_receivers_flow_back(db, send_by):
    signal, another_variable = Signal(), ContextVar("another", default="unset")

    async def receive(**kwargs):
        variable.set("the receiver")
        await Author.objects.acount()

    async def another(**kwargs):
        another_variable.set("the other receiver")
        await Author.objects.acount()

    variable.set("the sender")
    with receiving(signal, receive, another):
        await send_by(signal)
    assert variable.get() == "the receiver"
    assert another_variable.get() == "the other receiver"


@each_way
async def test_transaction_is_the_sender_s_after_receivers_had_blocks(db, send_by):
    """
    The context that flows back must not carry a block of the receiver along.
    """
    signal = Signal()

    def sync_receiver(**kwargs):
        with atomic():
            Author.objects.create(name="sync")

    async def async_receiver(**kwargs):
        async with atomic():
            await Author.objects.acreate(name="async")

    async def another(**kwargs):
        await async_receiver()

    with receiving(signal, sync_receiver, async_receiver, another):
        await send_by(signal)
        assert await Author.objects.acount() == 3
        async with atomic():
            await send_by(signal)
            await Author.objects.acreate(name="the sender")
            await run_sync(transaction.set_rollback, True)
        await Author.objects.acreate(name="afterwards")
    assert await Author.objects.acount() == 4
    assert statistics().holders == ()


# Fails with Django 6.1: a receiver takes the block of another one for its own.
@pytest.mark.parametrize("in_block", [True, False], ids=["atomic", "bare"])
@each_way
async def test_receivers_blocks_do_not_mix(db, send_by, in_block):
    """
    Django runs receivers in tasks that share one context, yet not one block.
    """
    signal, is_in = Signal(), asyncio.Event()

    async def fails(**kwargs):
        with contextlib.suppress(Failure):
            async with atomic():
                is_in.set()
                for _ in range(100):
                    await asyncio.sleep(0)
                raise Failure

    async def writes(**kwargs):
        await is_in.wait()
        async with atomic():
            await Author.objects.acreate(name="A")

    with receiving(signal, fails, writes):
        async with asyncio.timeout(10):
            if in_block:
                async with atomic():
                    await send_by(signal)
            else:
                await send_by(signal)
    assert await Author.objects.acount() == 1
