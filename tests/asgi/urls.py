"""
A project for servers that run in processes of their own.
"""

from __future__ import annotations

import asyncio
import sys
import threading

from django.db import connection
from django.http import HttpResponse
from django.urls import path

from django_evergreen.bridge import run_sync

# How many requests the process of the server is to have at once.
COUNT = 100


class Gate:
    """
    Opens at the end of standard input; says when everybody has come.
    """

    def __init__(self):
        self._lock, self._missing = threading.Lock(), COUNT
        self._open = threading.Event()

    def _watch(self):
        sys.stdin.read()
        self._open.set()

    def arrive(self):
        with self._lock:
            self._missing -= 1
            is_last = self._missing == 0
        if is_last:
            threading.Thread(target=self._watch, daemon=True).start()
            print("all are here", flush=True)

    def is_open(self):
        return self._open.is_set()

    def wait(self):
        self._open.wait(30)


gate = Gate()


def one():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return str(cursor.fetchone()[0])


async def asynchronous(request):
    gate.arrive()
    while not gate.is_open():
        await asyncio.sleep(0.01)
    return HttpResponse(await run_sync(one))


def sync(request):
    gate.arrive()
    gate.wait()
    return HttpResponse(one())


urlpatterns = [path("asynchronous/", asynchronous), path("sync/", sync)]
