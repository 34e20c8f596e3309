"""
What a request keeps while it waits.
"""

from __future__ import annotations

import asyncio

import pytest
from django.http import HttpResponse
from django.utils.deprecation import MiddlewareMixin

from django_evergreen.asgi import on_loop
from django_evergreen.bridge._loops import current_hub

from .exchange import begin, site, until

MANY = 50


@on_loop
class Passing(MiddlewareMixin):
    """
    Middleware of the kind that Django's is.
    """

    sync_capable, async_capable = True, False


@pytest.fixture
def gate():
    return asyncio.Event()


async def stack_of_waiting(gate, middleware):
    """
    Return how many bytes of the C stack are kept for a request that waits.
    """

    async def view(request):
        await gate.wait()
        return HttpResponse()

    gate.clear()
    suspended = current_hub().suspended
    before = set(suspended)
    with site(view, middleware=middleware) as application:
        first, second = begin(application), begin(application)
        # Only when it's in the way of another one is a stack copied.
        await until(lambda: len(suspended - before) == 2)
        sizes = [g._stack_saved for g in suspended - before]
        gate.set()
        for exchange in (first, second):
            assert (await exchange.reply()).status == 200
    return max(sizes)


async def test_middleware_takes_no_c_stack(gate):
    few = await stack_of_waiting(gate, [])
    many = await stack_of_waiting(gate, [f"{__name__}.Passing"] * MANY)
    assert 0 < few
    assert many - few < MANY * 100
