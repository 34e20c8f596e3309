"""
Requests in async tests: several at once, and some whose client leaves.
"""

from __future__ import annotations

import asyncio

from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.db import connection, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from django_evergreen import asgi
from django_evergreen.bridge import run_sync
from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author

endings = []


async def save(request, name):
    async with transaction.atomic():
        await Author.objects.acreate(name=name)
        if name == "bad":
            raise ValueError(name)
        await asyncio.sleep(0)
    return HttpResponse(str(await Author.objects.filter(name=name).acount()))


@asgi.on_loop
@transaction.atomic
def save_on_loop(request, name):
    Author.objects.create(name=name)
    return HttpResponse(str(Author.objects.filter(name=name).count()))


def save_in_thread(request, name):
    return save_on_loop(request, name)


async def stream(request):
    async def parts():
        try:
            for name in ("first", "second"):
                await Author.objects.acreate(name=name)
                yield name
            await asyncio.Event().wait()
        except BaseException as error:
            endings.append(type(error).__name__)
            raise

    return StreamingHttpResponse(parts())


urlpatterns = [
    path("save/<name>/", save),
    path("loop/<name>/", save_on_loop),
    path("thread/<name>/", save_in_thread),
    path("stream/", stream),
]


class Requests:
    async def check_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)

    async def test_a_at_once(self):
        names = [str(number) for number in range(10)]
        client = self.async_client_class(raise_request_exception=False)
        kinds = ["save", "loop", "thread"]
        responses = await asyncio.gather(
            client.get("/save/bad/"),
            *(client.get(f"/{kind}/{name}/") for kind in kinds for name in names),
        )
        statuses = [response.status_code for response in responses]
        self.assertEqual(statuses, [500] + [200] * 30)
        self.assertEqual(await Author.objects.acount(), 30)
        self.assertEqual(await Author.objects.filter(name="bad").acount(), 0)
        await self.check_connection()

    test_b_clean = check_clean

    async def test_c_client_that_leaves_in_a_stream(self):
        for get_application in (get_asgi_application, asgi.get_asgi_application):
            endings.clear()
            await self.leave_in_stream(get_application())
            self.assertEqual(endings, ["CancelledError"])
        self.assertEqual(await Author.objects.acount(), 4)
        await self.check_connection()

    async def leave_in_stream(self, application):
        scope = {"type": "http", "method": "GET", "path": "/stream/"}
        scope["headers"] = [(b"host", b"testserver")]
        messages = ApplicationCommunicator(application, scope)
        await messages.send_input({"type": "http.request"})
        self.assertEqual((await messages.receive_output(10))["status"], 200)
        for name in (b"first", b"second"):
            self.assertEqual((await messages.receive_output(10))["body"], name)
        await messages.send_input({"type": "http.disconnect"})
        await messages.wait(10)

    test_d_clean = check_clean


@override_settings(ROOT_URLCONF=__name__)
class Rollback(Requests, AsyncTestCase):
    async def check_connection(self):
        # As before: no request has closed it.
        self.assertTrue(connection.in_atomic_block)
        self.assertTrue(await run_sync(connection.is_usable))


@override_settings(ROOT_URLCONF=__name__)
class Flush(Requests, AsyncTransactionTestCase):
    async def check_connection(self):
        self.assertFalse(connection.in_atomic_block)
