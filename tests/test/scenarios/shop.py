"""
A project under test: views that start what they don't wait for, and a client library
that keeps a task of its own.
"""

from __future__ import annotations

import asyncio

from django.http import HttpResponse
from django.urls import path

from tests.app.models import Author

kept = []


async def send_receipt():
    await asyncio.sleep(3600)  # receipt


async def pay(request):
    await Author.objects.acreate(name="paid")
    kept.append(asyncio.create_task(send_receipt(), name="receipt"))
    return HttpResponse("paid")


async def send_mails(left):
    await asyncio.sleep(0.01)
    await Author.objects.acreate(name="mailed")
    if left:
        kept.append(asyncio.create_task(send_mails(left - 1)))


async def subscribe(request):
    await Author.objects.acreate(name="subscribed")
    kept.append(asyncio.create_task(send_mails(1)))
    return HttpResponse("subscribed")


async def nap(request):
    kept.append(asyncio.create_task(asyncio.sleep(0.05)))
    return HttpResponse("napping")


async def wait_for_payment(request):
    await asyncio.sleep(3600)  # payment
    return HttpResponse("paid")


def middleware_of_sync_code(get_response):
    def middleware(request):
        return get_response(request)

    return middleware


class Client:
    """
    Connects when it's used first, and answers pings from then on.
    """

    async def keep_alive(self):
        while True:
            await asyncio.sleep(3600)

    async def connect(self):
        self.task = asyncio.create_task(self.keep_alive())


urlpatterns = [
    path("pay/", pay),
    path("subscribe/", subscribe),
    path("nap/", nap),
    path("wait/", wait_for_payment),
]
