"""
The ASGI application: a request is one task, and its sync code runs in the bridge.

Guarantees, for each request that has begun:

- ``request_finished`` is sent exactly once, and the response is closed.
- When the client disconnects, or the server cancels the request, its view is
  cancelled where it waits, and so is its query.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from functools import partial
from typing import Any

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.urls import set_script_prefix

from ..bridge import run_sync
from ..db._errands import current_thread
from ..db._finishing import Finishing
from ..db._request_threads import RequestThread
from ..patches._placed import call_in_thread
from ..patches.signals import need_no_thread
from ._chain import Chain
from ._disconnects import Disconnects
from ._lifespan import serve_lifespan
from ._streaming import by_chunks, closing_stream
from ._watchdog import Watchdog

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Handler(Chain, ASGIHandler):
    """
    Django's handler, with its synchronous chain of middleware.
    """

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            watchdog = Watchdog.of_loop()
            if watchdog is None:
                await self.handle(scope, receive, send)
            else:
                with watchdog.naming(f"{scope['method']} {scope['path']}"):
                    await self.handle(scope, receive, send)
        elif scope["type"] == "lifespan":
            await serve_lifespan(receive, send)
        else:
            # Django's own error.
            await super().__call__(scope, receive, send)

    async def handle(self, scope: Any, receive: Receive, send: Send) -> None:
        try:
            body_file = await self.read_body(receive)
        except RequestAborted:
            return
        thread = RequestThread()
        token = current_thread.set(thread)
        try:
            with closing(body_file):
                await self._serve(scope, body_file, receive, send)
        finally:
            current_thread.reset(token)
            thread.release()

    async def read_body(self, receive: Receive) -> Any:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            # It's in memory already, so it needs no file that may grow.
            return io.BytesIO(message.get("body", b""))
        rest = _Rest(message, receive)
        try:
            return await super().read_body(rest.receive)
        except RequestAborted:
            if rest.error is not None:
                raise rest.error from None
            raise

    async def _serve(
        self, scope: Any, body_file: Any, receive: Receive, send: Send
    ) -> None:
        set_script_prefix(get_script_prefix(scope))
        request = response = None
        try:
            await run_sync(self._start, scope)
            request, response = self.create_request(scope, body_file)
            if request is None:
                await self.send_response(response, send)
                return
            async with Disconnects(partial(self.listen_for_disconnect, receive)):
                response = await self.run_get_response(request)
                await self.send_response(response, send)
        finally:
            await run_sync(self._finish, request, response)

    def _start(self, scope: Any) -> None:
        sender = type(self)
        send = partial(signals.request_started.send, sender=sender, scope=scope)
        if need_no_thread(signals.request_started, sender):
            send()
        else:
            call_in_thread(send)

    async def run_get_response(self, request: Any) -> Any:
        response = await super().run_get_response(request)
        if response.streaming and not response.is_async:
            by_chunks(response, request)
        return response

    def send_response(self, response: Any, send: Send) -> Coroutine[Any, Any, None]:
        # No coroutine around another one: each costs at every wait.
        if response.streaming:
            return self._send_stream(response, send)
        return super().send_response(response, send)  # type: ignore[no-any-return]

    async def _send_stream(self, response: Any, send: Send) -> None:
        async with closing_stream(response):
            await super().send_response(response, send)

    def _finish(self, request: Any, response: Any) -> None:
        """
        Close the response, which closes the request and sends ``request_finished``; or,
        without one, do that.
        """
        finishing = Finishing(None)
        with finishing:
            if response is None:
                sender: Any = type(self)
                end = partial(_end_without_response, request, sender)
            else:
                sender = response._handler_class
                end = response.close
            thread = current_thread.get()
            assert thread is not None
            # What runs in the thread has left things there that have to be closed.
            if thread.is_used or not need_no_thread(signals.request_finished, sender):
                call_in_thread(end)
            else:
                end()
        finishing.raise_absorbed()


def _end_without_response(request: Any, sender: Any) -> None:
    try:
        if request is not None:
            # What was uploaded.
            request.close()
    finally:
        signals.request_finished.send(sender=sender)


class _Rest:
    """
    The messages of a body, the first of which has come.

    An error, a cancellation too, is told as a disconnect: Django closes the file of the
    body then, and at nothing else.
    """

    def __init__(self, message: Any, receive: Receive) -> None:
        self._message, self._receive = message, receive
        self.error: BaseException | None = None

    async def receive(self) -> Any:
        message, self._message = self._message, None
        if message is not None:
            return message
        try:
            return await self._receive()
        except BaseException as error:
            self.error = error
            return {"type": "http.disconnect"}
