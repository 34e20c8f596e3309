"""
Django's test clients, which can wait for what a view has started.

A server goes on with such tasks after the response; so do these clients, unless they
are told to wait: for views whose tasks a test wants to see done.
"""

from __future__ import annotations

import asyncio
from typing import Any

from django import test

from ..bridge import await_, in_bridge
from ._clock import now
from ._owners import collecting_tasks

# Seconds that a client waits for tasks.
WAIT_TIMEOUT = 60.0


class _WaitingClient:
    """
    Takes part in a client class.
    """

    # Whether a response is returned only when the tasks have ended that its request
    # has started.
    wait_for_tasks = False

    def __init__(
        self, *args: Any, wait_for_tasks: bool | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if wait_for_tasks is not None:
            self.wait_for_tasks = wait_for_tasks


class AsyncClient(_WaitingClient, test.AsyncClient):
    """
    Django's ``AsyncClient``, with ``wait_for_tasks=True`` also for the tasks of views.

    It waits for 60 s at the most. What goes on then is a leftover of the test.
    """

    async def request(self, **request: Any) -> Any:
        if not self.wait_for_tasks:
            return await super().request(**request)
        with collecting_tasks() as tasks:
            response = await super().request(**request)
        await _ended(tasks)
        return response


class Client(_WaitingClient, test.Client):
    """
    Django's ``Client``, with ``wait_for_tasks=True`` also for the tasks of views.

    That takes an async test, or a sync one in a transaction: elsewhere a view has an
    event loop of its own, which ends with it.
    """

    def request(self, **request: Any) -> Any:
        if not (self.wait_for_tasks and in_bridge()):
            return super().request(**request)
        with collecting_tasks() as tasks:
            response = super().request(**request)
        await_(_ended(tasks))
        return response


async def _ended(tasks: list[asyncio.Task[Any]]) -> None:
    """
    Wait for tasks, and for those that they start.
    """
    deadline = now() + WAIT_TIMEOUT
    while pending := [task for task in tasks if not task.done()]:
        left = deadline - now()
        if left <= 0:
            return
        await asyncio.wait(pending, timeout=left)
