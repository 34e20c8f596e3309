"""
Runs ``async def`` tests, each on a new loop of asyncio and of uvloop.
"""

from __future__ import annotations

import asyncio
import inspect

import pytest
import uvloop

# Not in asyncio's debug mode, which PYTHONDEVMODE would switch on: it takes
# several times as long, and some tests are about how long the loop is held.
DEBUG = False
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_generate_tests(metafunc):
    if inspect.iscoroutinefunction(metafunc.function):
        metafunc.fixturenames.append("loop_factory")
    if "loop_factory" in metafunc.fixturenames:
        metafunc.parametrize("loop_factory", LOOPS.values(), ids=LOOPS)


def pytest_itemcollected(item):
    callspec = getattr(item, "callspec", None)
    on_uvloop = callspec is not None and callspec.params.get("loop_factory") is (
        uvloop.new_event_loop
    )
    if on_uvloop:
        # It only logs what a signal handler raises, and waits on: a thread ends the
        # whole run instead.
        own = item.get_closest_marker("timeout")
        args = () if own is None else own.args
        item.add_marker(pytest.mark.timeout(*args, method="thread"), append=False)


@pytest.fixture
def loop_factory(request):
    """
    Makes an event loop; every test that asks for it runs with each of LOOPS.
    """


@pytest.fixture
def run(loop_factory):
    """
    A function that runs a coroutine on a new loop and closes the loop.
    """

    def run(coroutine):
        with asyncio.Runner(debug=DEBUG, loop_factory=loop_factory) as runner:
            return runner.run(coroutine)

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
    loop_factory = pyfuncitem.callspec.params["loop_factory"]
    with asyncio.Runner(debug=DEBUG, loop_factory=loop_factory) as runner:
        runner.run(pyfuncitem.obj(**arguments))
    return True
