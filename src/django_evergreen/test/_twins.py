"""
Async twins of those of Django's assertions that do I/O.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from ..bridge import await_, run_sync


class AssertionTwins:
    """
    The part of :class:`~._assertions.AsyncAssertions` that is about calls. They suspend
    where Django's assertion queries, renders a template or sends a request.
    """

    async def aassertContains(self, response: Any, *args: Any, **kwargs: Any) -> None:
        """
        Same as ``assertContains()``, also for an async streaming response.
        """
        await self._check_response("assertContains", response, *args, **kwargs)

    async def aassertNotContains(
        self, response: Any, *args: Any, **kwargs: Any
    ) -> None:
        """
        Same as ``assertNotContains()``, also for an async streaming response.
        """
        await self._check_response("assertNotContains", response, *args, **kwargs)

    async def aassertRedirects(self, response: Any, *args: Any, **kwargs: Any) -> None:
        """
        Same as ``assertRedirects()``, also for a response of ``AsyncClient``, by which
        the other page is fetched then.
        """
        await self._check_response("assertRedirects", response, *args, **kwargs)

    async def aassertMessages(self, response: Any, *args: Any, **kwargs: Any) -> None:
        """
        Same as ``assertMessages()`` of ``MessagesTestMixin``, also for a response of
        ``AsyncClient``.
        """
        await self._check_response("assertMessages", response, *args, **kwargs)

    async def aassertQuerySetEqual(self, *args: Any, **kwargs: Any) -> None:
        """
        Same as ``assertQuerySetEqual()``, also for a queryset that isn't evaluated.
        """
        await run_sync(self.assertQuerySetEqual, *args, **kwargs)  # type: ignore[attr-defined]

    async def aassertFormError(self, *args: Any, **kwargs: Any) -> None:
        """
        Same as ``assertFormError()``, also for a form whose validation queries.
        """
        await run_sync(self.assertFormError, *args, **kwargs)  # type: ignore[attr-defined]

    async def aassertFormSetError(self, *args: Any, **kwargs: Any) -> None:
        """
        Same as ``assertFormSetError()``, also for forms whose validation queries.
        """
        await run_sync(self.assertFormSetError, *args, **kwargs)  # type: ignore[attr-defined]

    async def _check_response(
        self, name: str, response: Any, *args: Any, **kwargs: Any
    ) -> None:
        def check() -> None:
            with _like_of_sync_client(response):
                getattr(self, name)(response, *args, **kwargs)

        await run_sync(check)


@contextlib.contextmanager
def _like_of_sync_client(response: Any) -> Iterator[None]:
    """
    Give a response what Django's assertions look for. In the bridge.
    """
    if response.streaming and response.is_async:
        # Can be looked at again, as Django's assertions leave it, too.
        response.streaming_content = [await_(_content(response))]
    client: Any = getattr(response, "client", None)
    if not hasattr(response, "asgi_request"):
        yield
        return
    response.wsgi_request = response.asgi_request
    response.request.setdefault("PATH_INFO", response.request["path"])
    response.client = SimpleNamespace(
        extra=client.extra,
        headers=client.headers,
        get=lambda *args, **kwargs: await_(client.get(*args, **kwargs)),
    )
    try:
        yield
    finally:
        response.client = client


async def _content(response: Any) -> bytes:
    return b"".join([part async for part in response])
