"""
``LoopLocal``: one object for each event loop.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import inspect
import os
import threading
import weakref

import pytest
from asgiref.sync import async_to_sync

from django_evergreen import NotInBridge, SwitchForbidden
from django_evergreen.bridge import LoopLocal, await_, offload, run_sync
from django_evergreen.bridge import _loop_local as module


class Client:
    """
    Belongs to the loop it was made on, as the clients of real services do.
    """

    def __init__(self, name="client"):
        self.name = name
        self.loop = asyncio.get_running_loop()
        self.closed = 0

    def __repr__(self):
        return f"<Client {self.name}>"

    async def get(self, key):
        await asyncio.sleep(0)
        assert asyncio.get_running_loop() is self.loop
        assert not self.closed
        return f"value of {key}"

    async def aclose(self):
        await asyncio.sleep(0)
        assert asyncio.get_running_loop() is self.loop
        self.closed += 1

    def close(self):
        self.closed += 1


@pytest.fixture
def client():
    """
    What a project has as a name in a module.
    """
    return LoopLocal(Client, close=Client.aclose)


async def use(client):
    assert await client().get("key") == "value of key"
    return client()


# The object


async def test_all_tasks_of_a_loop_have_the_same_object(client):
    objects = await asyncio.gather(*(use(client) for _ in range(10)))
    assert set(objects) == {client()}


async def test_sync_code_in_the_bridge_has_the_object_of_its_loop(client):
    assert await run_sync(client) is client()
    assert await run_sync(lambda: await_(client.get("key"))) == "value of key"


def test_successive_loops_have_an_object_each_closed_with_its_loop(run, client):
    objects = [run(use(client)) for _ in range(3)]
    assert len(set(objects)) == 3
    assert [each.closed for each in objects] == [1, 1, 1]


def test_runner_keeps_the_object_until_it_is_closed(loop_factory, client):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        first = runner.run(use(client))
        assert runner.run(use(client)) is first
        assert first.closed == 0
    assert first.closed == 1


def test_async_to_sync_has_an_object_for_each_call(client):
    objects = [async_to_sync(use)(client) for _ in range(2)]
    assert [each.closed for each in objects] == [1, 1]
    assert objects[0] is not objects[1]


def test_loops_that_run_at_once_in_threads_have_an_object_each(run, client):
    both = threading.Barrier(2, timeout=10)
    objects = []

    async def main():
        objects.append(await use(client))
        both.wait()
        assert repr(client).endswith("event loops: 2>")
        both.wait()

    threads = [threading.Thread(target=lambda: run(main())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert objects[0] is not objects[1]
    assert [each.closed for each in objects] == [1, 1]


def test_child_of_a_fork_has_its_own_object(loop_factory, run, client):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        parent_s = runner.run(use(client))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                assert repr(client).endswith("event loops: 0>")
                child_s = run(use(client))
                assert child_s is not parent_s
                assert (child_s.closed, parent_s.closed) == (1, 0)
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert runner.run(use(client)) is parent_s
    assert parent_s.closed == 1


async def test_repr_counts_the_loops_that_have_an_object(client):
    name = f"<LoopLocal of {__name__}.Client, event loops: "
    assert repr(client) == name + "0>"
    client()
    assert repr(client) == name + "1>"
    await client.aclose()
    assert repr(client) == name + "0>"
    partial = functools.partial(Client, "a")
    assert repr(LoopLocal(partial, close=None)).startswith(f"<LoopLocal of {partial!r}")


# Attributes


async def test_public_attributes_are_those_of_the_object(client):
    assert await client.get("key") == "value of key"
    assert client.loop is asyncio.get_running_loop()
    with pytest.raises(AttributeError, match="'Client' object has no attribute 'set'"):
        _ = client.set


async def test_introspection_makes_no_object(client):
    assert inspect.unwrap(client) is client
    assert not inspect.iscoroutinefunction(client)
    assert not hasattr(client, "__wrapped__")
    copy.copy(client)
    assert repr(client).endswith("event loops: 0>")


async def test_attributes_are_replaced_on_the_object(client):
    with pytest.raises(AttributeError):
        client.name = "another"
    client().name = "another"
    assert client.name == "another"


# Closing


def test_what_was_made_first_is_closed_last(run):
    events = []

    async def close(client):
        events.append(client.name)
        # Used by the other one, so it has to be open.
        assert not lower().closed
        await client.aclose()

    lower = LoopLocal(lambda: Client("lower"), close=close)
    upper = LoopLocal(lambda: Client("on " + lower().name), close=close)

    async def main():
        upper()

    run(main())
    assert events == ["on lower", "lower"]


def test_close_may_be_sync_and_wait_in_the_bridge(run):
    sync = LoopLocal(Client, close=Client.close)
    waiting = LoopLocal(Client, close=lambda client: await_(client.aclose()))

    async def main():
        return sync(), waiting()

    assert [each.closed for each in run(main())] == [1, 1]


def test_close_may_be_none(run):
    lock = LoopLocal(asyncio.Lock, close=None)

    async def main():
        async with lock():
            assert lock.locked()
        first = lock()
        await lock.aclose()
        assert lock() is not first

    run(main())
    assert repr(lock).endswith("event loops: 0>")


def test_close_that_fails_is_logged_with_what_it_closed(run, caplog):
    async def fail(client):
        raise ValueError("while closing")

    first = LoopLocal(Client, close=Client.aclose)
    failing = LoopLocal(lambda: Client("that fails"), close=fail)

    async def main():
        failing()
        return first(), failing()

    assert run(main())[0].closed == 1
    assert "ValueError: while closing" in caplog.text
    assert "closing <Client that fails> with its event loop" in caplog.text
    assert repr(failing).endswith("event loops: 0>")


def test_close_that_never_ends_is_given_up(run, caplog, monkeypatch):
    monkeypatch.setattr(module, "CLOSE_TIMEOUT", 0.01)

    async def hang(client):
        await asyncio.Event().wait()

    first = LoopLocal(Client, close=Client.aclose)
    hanging = LoopLocal(lambda: Client("that hangs"), close=hang)

    async def main():
        return first(), hanging()

    assert run(main())[0].closed == 1
    assert "TimeoutError" in caplog.text
    assert "closing <Client that hangs> with its event loop" in caplog.text


def test_close_that_was_not_cancelled_but_says_so_is_logged(run, caplog):
    async def wait_for_cancelled_task(client):
        task = asyncio.create_task(asyncio.Event().wait())
        task.cancel()
        await task

    first = LoopLocal(Client, close=Client.aclose)
    second = LoopLocal(Client, close=wait_for_cancelled_task)

    async def main():
        return first(), second()

    assert run(main())[0].closed == 1
    assert "raised CancelledError although nobody cancelled it" in caplog.text


def test_shutdown_that_is_cancelled_cancels_close(loop_factory, caplog):
    events, closing = [], asyncio.Event()

    async def close(client):
        closing.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    client = LoopLocal(Client, close=close)

    async def main():
        client()
        ending = asyncio.create_task(asyncio.get_running_loop().shutdown_asyncgens())
        await closing.wait()
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
    assert events == ["cancelled"]
    assert not caplog.records


def test_object_is_closed_although_its_loop_local_is_gone(run):
    async def main():
        local = LoopLocal(Client, close=Client.aclose)
        obj, gone = local(), weakref.ref(local)
        del local
        gc.collect()
        assert gone() is None
        assert obj.closed == 0
        return obj

    assert run(main()).closed == 1


def test_loop_local_keeps_nothing_of_a_loop_that_has_ended(run, client):
    async def main():
        return weakref.ref(client())

    gone = run(main())
    gc.collect()
    assert gone() is None


def abandon(loop_factory, main):
    """
    Run a coroutine on a loop that is closed without ``shutdown_asyncgens()``,
    and have that noticed.
    """
    loop = loop_factory()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
        asyncio.run(run_sync(int))


def test_sync_close_is_called_for_a_loop_closed_without_ceremony(loop_factory):
    client = LoopLocal(Client, close=Client.close)
    assert abandon(loop_factory, use(client)).closed == 1
    assert repr(client).endswith("event loops: 0>")


def test_async_close_warns_of_a_loop_closed_without_ceremony(loop_factory, client):
    name = f"<Client client> was not closed: {__name__}.Client.aclose"
    with pytest.warns(ResourceWarning, match=name) as caught:
        assert abandon(loop_factory, use(client)).closed == 0
    # No other one: "coroutine was never awaited", for example.
    assert len(caught) == 1
    assert repr(client).endswith("event loops: 0>")


def test_loop_is_found_closed_in_the_bridge_of_no_loop(loop_factory, client):
    def abandon_in_bridge():
        with pytest.warns(ResourceWarning, match="was not closed"):
            abandon(loop_factory, use(client))

    with pytest.raises(StopIteration):
        run_sync(abandon_in_bridge).send(None)


def test_awaitable_that_is_no_coroutine_warns_too(loop_factory):
    class Closing:
        def __await__(self):
            raise AssertionError

    client = LoopLocal(Client, close=lambda client: Closing())
    with pytest.warns(ResourceWarning, match="was not closed"):
        abandon(loop_factory, use(client))


# At the end of a loop


def test_ending_loop_makes_no_new_object(run, client, caplog):
    events = []

    async def close(first):
        assert first is other()
        with pytest.raises(NotInBridge, match=r"Client.* that loop is ending"):
            client()
        events.append("refused")
        await first.aclose()

    other = LoopLocal(Client, close=close)
    assert run(use(other)).closed == 1
    assert events == ["refused"]
    assert not caplog.records


# aclose()


async def test_aclose_closes_now_and_the_next_use_makes_another(client):
    first = client()
    await client.aclose()
    assert first.closed == 1
    second = await use(client)
    assert second is not first
    assert second.closed == 0


def test_aclose_leaves_nothing_to_close_with_the_loop(run, client, caplog):
    async def main():
        objects = []
        for _ in range(3):
            objects.append(client())
            await client.aclose()
        return [*objects, client()]

    assert [each.closed for each in run(main())] == [1, 1, 1, 1]
    assert not caplog.records


async def test_aclose_without_an_object_does_nothing(client):
    await client.aclose()
    client()
    await client.aclose()
    await client.aclose()


async def test_aclose_in_sync_code_in_the_bridge(client):
    first = client()
    await run_sync(lambda: await_(client.aclose()))
    assert first.closed == 1


async def test_task_has_a_new_object_while_the_old_one_is_closed():
    closing, may_end = asyncio.Event(), asyncio.Event()

    async def close(client):
        closing.set()
        await may_end.wait()
        await client.aclose()

    client = LoopLocal(Client, close=close)
    first = client()
    task = asyncio.create_task(client.aclose())
    await closing.wait()
    assert await use(client) is not first
    may_end.set()
    await task
    assert first.closed == 1


async def test_aclose_raises_what_close_raises():
    async def fail(client):
        raise ValueError("while closing")

    client = LoopLocal(Client, close=fail)
    client()
    with pytest.raises(ValueError, match="while closing"):
        await client.aclose()
    await client.aclose()


async def test_aclose_is_cancelled_inside_close():
    events, closing = [], asyncio.Event()

    async def close(client):
        closing.set()
        try:
            await asyncio.Event().wait()
        finally:
            events.append("close ends")

    client = LoopLocal(Client, close=close)
    client()
    task = asyncio.create_task(client.aclose())
    await closing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["close ends"]
    assert repr(client).endswith("event loops: 0>")


# Errors


@pytest.mark.parametrize("used", [lambda client: client(), lambda client: client.get])
def test_use_without_a_loop_is_refused(client, used):
    with pytest.raises(NotInBridge, match=r"Client.* run_sync.*async_to_sync"):
        used(client)


async def test_use_in_a_thread_without_a_loop_is_refused(client):
    client()
    with pytest.raises(NotInBridge, match="none is running in this thread"):
        await run_sync(offload, client)


async def test_factory_that_fails_is_called_again_by_the_next_use():
    names = iter(["", "second"])

    def make():
        return Client(next(names) or 1 / 0)

    client = LoopLocal(make, close=None)
    with pytest.raises(ZeroDivisionError):
        client()
    assert repr(client).endswith("event loops: 0>")
    assert client.name == "second"


async def test_factory_that_waits_is_refused():
    client = LoopLocal(lambda: await_(asyncio.sleep(0)), close=None)
    with pytest.raises(SwitchForbidden):
        await run_sync(client)


async def make_client():
    return Client()


@pytest.mark.parametrize("factory", [make_client, functools.partial(make_client)])
def test_coroutine_function_as_factory_is_refused(factory):
    with pytest.raises(TypeError, match=r"make_client.* sync function"):
        LoopLocal(factory, close=Client.aclose)


async def test_factory_that_returns_a_coroutine_is_refused():
    client = LoopLocal(lambda: make_client(), close=Client.aclose)
    with pytest.raises(TypeError, match="returns a coroutine"):
        client()


async def test_object_instead_of_a_factory_is_refused():
    with pytest.raises(TypeError, match=r"<Client client> is none.*lambda"):
        LoopLocal(Client(), close=Client.aclose)


@pytest.mark.parametrize("arguments", [{}, {"close": "aclose"}])
def test_loop_local_without_a_way_to_close_is_refused(arguments):
    with pytest.raises(TypeError, match="close"):
        LoopLocal(Client, **arguments)
