"""
Bodies of requests, in memory and on disk.
"""

from __future__ import annotations

import asyncio
import threading

from django.http import HttpResponse
from django.test import override_settings

from .exchange import Exchange, happens, site


async def length(request):
    return HttpResponse(str(len(request.body)))


async def send_in_parts(application, parts, **options):
    exchange = Exchange(application, method="POST", **options)
    for part in parts:
        exchange.send_body(part, more=True)
    exchange.send_body()
    return await exchange.reply()


async def test_body_may_come_in_parts():
    with site(length) as application:
        reply = await send_in_parts(application, [b"abc"] * 100)
    assert reply.text == "300"


async def test_body_that_is_too_big_is_refused():
    headers = [(b"content-length", b"300")]
    with site(length, DATA_UPLOAD_MAX_MEMORY_SIZE=100) as application:
        reply = await send_in_parts(application, [b"abc"] * 100, headers=headers)
    assert reply.status in (400, 413)


def form(size):
    """
    Return a form with one file, and its header.
    """
    lines = [
        b"--boundary",
        b'Content-Disposition: form-data; name="file"; filename="f"',
        b"Content-Type: text/plain",
        b"",
        b"x" * size,
        b"--boundary--",
        b"",
    ]
    body = b"\r\n".join(lines)
    headers = [
        (b"content-type", b"multipart/form-data; boundary=boundary"),
        (b"content-length", str(len(body)).encode()),
    ]
    return body, headers


async def test_big_upload_goes_to_disk_and_is_closed_when_the_client_leaves():
    files, waits = [], threading.Event()

    async def view(request):
        files.append(request.FILES["file"])
        waits.set()
        await asyncio.Event().wait()

    limits = {"FILE_UPLOAD_MAX_MEMORY_SIZE": 1000}
    with override_settings(**limits), site(view) as application:
        body, headers = form(100_000)
        exchange = Exchange(application, method="POST", headers=headers)
        for start in range(0, len(body), 10_000):
            exchange.send_body(body[start : start + 10_000], more=True)
        exchange.send_body()
        await happens(waits)
        (file,) = files
        assert file.size == 100_000
        assert file.temporary_file_path()
        exchange.disconnect()
        await exchange.end()
    assert file.closed
