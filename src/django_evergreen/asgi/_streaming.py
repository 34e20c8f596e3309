"""
Streaming responses: chunk by chunk, and closed when they are cut off.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from django.http import FileResponse

from .._placing import runs_on_loop
from ..bridge import offload, run_sync
from ..patches._placed import call_in_thread

_END: Any = object()


def by_chunks(response: Any, request: Any) -> None:
    """
    Make the sync iterator of a response an async one, where Django would read all of
    it before sending anything. It may block, unless its view is known not to. Files are
    read in a thread.
    """
    match = request.resolver_match
    parts = iter(response.streaming_content)
    step = _next_in_thread
    if isinstance(response, FileResponse):
        # Not in the thread of the request, which is kept until the end of that.
        step = _next_offloaded
    elif match is not None and runs_on_loop(match.func):
        step = _next_of
    response.streaming_content = _iterate(step, parts)


def _next_of(parts: Iterator[Any]) -> Any:
    return next(parts, _END)


def _next_in_thread(parts: Iterator[Any]) -> Any:
    return call_in_thread(_next_of, parts)


def _next_offloaded(parts: Iterator[Any]) -> Any:
    return offload(_next_of, parts)


async def _iterate(
    step: Callable[[Iterator[Any]], Any], parts: Iterator[Any]
) -> AsyncIterator[Any]:
    while (part := await run_sync(step, parts)) is not _END:
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
