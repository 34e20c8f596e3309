"""
Streaming responses: chunk by chunk, and closed when they are cut off.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.http import FileResponse

from .._placing import Place, placement_of
from ..bridge import run_sync
from ..patches._placed import call_in_thread

_END: Any = object()


def by_chunks(response: Any, request: Any) -> None:
    """
    Make the sync iterator of a response an async one, where Django would read all of
    it before sending anything. It runs where the view did; files are read in a thread.
    """
    match = request.resolver_match
    place = placement_of(match.func).place if match else Place.LOOP
    in_thread = place is Place.THREAD or isinstance(response, FileResponse)
    parts = iter(response.streaming_content)
    response.streaming_content = _iterate(parts, in_thread)


async def _iterate(parts: Iterator[Any], in_thread: bool) -> AsyncIterator[Any]:
    while True:
        if in_thread:
            part = await run_sync(call_in_thread, next, parts, _END)
        else:
            part = await run_sync(next, parts, _END)
        if part is _END:
            return
        yield part


@contextlib.asynccontextmanager
async def closing_stream(response: Any) -> AsyncIterator[None]:
    """
    Close the async generator of a response at the end of this block. Django leaves it
    to the garbage collector.
    """
    try:
        yield
    finally:
        aclose = getattr(response._iterator, "aclose", None)
        if aclose is not None:
            await aclose()
