"""
Cancelling a request whose client has left.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from django.core.exceptions import RequestAborted

_EAGERLY: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class Disconnects:
    """
    A block that is cancelled when the client disconnects, and ends quietly then.

    As ``asyncio.timeout()``: a cancellation by somebody else passes through it.
    ``listen()`` raises ``RequestAborted`` at the disconnect; another error of it
    ends the block too, and is raised.
    """

    __slots__ = ("_cancelled_before", "_is_over", "_listen", "_listener", "_task")

    _task: asyncio.Task[Any]

    def __init__(self, listen: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._listen = listen

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)  # type: ignore[assignment]
        self._cancelled_before = self._task.cancelling()
        self._is_over = False
        self._listener = _start_task(loop, self._listen())
        self._listener.add_done_callback(self._cancel)

    def _cancel(self, listener: asyncio.Task[None]) -> None:
        if not self._is_over:
            self._is_over = True
            self._task.cancel()
        elif not listener.cancelled():
            # Its error came when the block was over. It's noted as seen.
            listener.exception()

    async def __aexit__(
        self, exc_type: object, error: object, traceback: object
    ) -> bool:
        if not self._is_over:
            self._is_over = True
            self._listener.cancel()
            return False
        is_ours = self._task.uncancel() <= self._cancelled_before
        reason = self._listener.exception()
        was_cancelled = isinstance(error, asyncio.CancelledError)
        if not is_ours or not (was_cancelled or error is None):
            return False
        if reason is not None and not isinstance(reason, RequestAborted):
            raise reason
        return was_cancelled


def _start_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]
) -> asyncio.Task[None]:
    """
    Start a task at once, where Python can: it spares a turn of the loop.
    """
    if loop.get_task_factory() is not None:
        return loop.create_task(coroutine)
    return asyncio.Task(coroutine, loop=loop, **_EAGERLY)
