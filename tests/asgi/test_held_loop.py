"""
Views that block, and views that make queries at once.
"""

from __future__ import annotations

import asyncio
import re

import pytest
from django.http import HttpResponse, JsonResponse
from django.test import override_settings

from django_evergreen.asgi import on_loop
from tests.app.models import Author
from tests.heartbeat import Heartbeat

from .exchange import Gate, begin, happens, request, site
from .test_watchdog import LIMIT, reports  # noqa: F401 (a fixture)

SESSION = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


async def test_view_that_holds_the_loop_is_reported_with_its_stack(reports):  # noqa: F811
    @on_loop
    def blocking(request):
        # Until there is a report.
        reports.hold_until_warned()
        return HttpResponse("done")

    with (
        override_settings(EVERGREEN={"WATCHDOG_MS": LIMIT}),
        site(blocking) as application,
    ):
        reply = await request(application, "/blocking/")
        await reports.has_ended()
    assert reply.text == "done"
    (warning,) = reports.warnings
    assert warning.startswith("GET /blocking/ has held the event loop")
    assert re.search(rf"{re.escape(__file__)}:?.*in .*blocking", warning)


async def test_view_that_blocks_in_a_thread_is_not(reports):  # noqa: F811
    gate = Gate()

    def blocking(request):
        gate.block()
        return HttpResponse("done")

    with (
        override_settings(EVERGREEN={"WATCHDOG_MS": LIMIT}),
        site(blocking) as application,
    ):
        async with Heartbeat() as heartbeat:
            exchange = begin(application, "/blocking/")
            await happens(gate.reached)
            # Others are served meanwhile.
            await asyncio.sleep(3 * LIMIT / 1000)
            gate.open.set()
            reply = await exchange.reply()
    assert reply.text == "done"
    assert heartbeat.late < 0.05
    assert not reports.warnings


@pytest.mark.parametrize("middleware", [[], SESSION], ids=["", "session"])
async def test_view_makes_queries_at_once(db, middleware):
    async def counting(request):
        # The middleware has made the request's own queries, on its connection.
        user = await request.auser() if middleware else None
        counts = await asyncio.gather(*(Author.objects.acount() for _ in range(3)))
        return JsonResponse({"counts": counts, "user": str(user)})

    with site(counting, middleware=middleware) as application:
        reply = await request(application)
    assert '"counts": [0, 0, 0]' in reply.text
