"""
Sync code of a task that runs in a thread, with the connections of that task.

For code that may block. The thread works while the task waits for it, and the task
works for the thread while that waits: its statements are sent by the task, and so
are in its transaction, on its connection. Never do both work at once, so neither
needs a lock for what they share.

Contextvars are carried along at each change.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import _restore_context as carry_over

from ..bridge._greenlets import call_while_handling
from ..bridge._loops import Hub, Waiter, current_hub, wake
from ..bridge._switch import await_
from ._engines import is_ours
from ._finishing import is_finishing

if TYPE_CHECKING:
    from ._request_threads import RequestThread
    from ._scopes import Scope

# The thread of the request that this code belongs to, whether used or not.
current_thread: ContextVar[RequestThread | None] = ContextVar(
    "django_evergreen_thread", default=None
)


# The errand whose thread waits for what runs in this context.
_waiting: ContextVar[Errand | None] = ContextVar(
    "django_evergreen_waiting", default=None
)


class _Here(threading.local):
    """
    What the current thread works for.
    """

    errand: Errand | None = None


_here = _Here()


def current_errand() -> Errand | None:
    """
    Return the errand that this thread is on; None in any other thread.
    """
    return _here.errand


def errand_for(alias: str) -> Errand | None:
    """
    Return the errand on which this thread uses a database; None if it's on none, or
    if that has an engine which isn't this package's, and so blocks.
    """
    errand = _here.errand
    return errand if errand is not None and is_ours(alias) else None


class _Call:
    """
    A call and what came of it, handed over from one side to the other.
    """

    __slots__ = ("context", "error", "fn", "is_done", "result")

    def __init__(self, fn: Callable[[], Any]) -> None:
        self.fn = fn
        self.context = contextvars.copy_context()
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """
        Run it where it was handed to.
        """
        try:
            self.result = self.fn()
        except BaseException as error:
            self.error = error
        self.context = contextvars.copy_context()
        self.is_done = True

    def take_result(self) -> Any:
        """
        Return the result where the call came from, or raise.
        """
        carry_over(self.context)
        try:
            if self.error is not None:
                raise self.error
            return self.result
        finally:
            # Break the cycle of the error, its traceback and this frame.
            self.error = self.result = None


class Errand:
    """
    One call in a thread, on behalf of a task.
    """

    def __init__(
        self, thread: RequestThread, find_scope: Callable[[], Scope | None]
    ) -> None:
        self._find_scope = find_scope
        # Whose connections the thread uses. The task may change it.
        self.scope = find_scope()
        self._thread = thread
        # Inside of which this one was begun, or by a task that was.
        self._outer = _waiting.get()
        self._hub: Hub = current_hub()
        self._waiter: Waiter
        # What the thread wants the task to do.
        self._wanted: _Call | None = None
        self._has_begun = False
        # The task was cancelled: the thread is to end soon.
        self._is_cancelled = False
        # The task waits no more.
        self._is_forsaken = False
        # The end of a request takes place whatever happens to the task.
        self._is_finishing = is_finishing()
        self._closers: list[Callable[[], None]] = []

    def on_end(self, closer: Callable[[], None]) -> None:
        """
        Call ``closer()`` in the task when this errand is over.
        """
        self._closers.append(closer)

    # In the task.

    def perform(self, fn: Callable[[], Any]) -> Any:
        """
        Return ``fn()``, run in the thread.

        Suspends: yes. Runs in: the bridge. On cancellation: the next statement of the
        thread raises ``CancelledError`` there, and so does this call when the thread
        has ended; the second one doesn't wait for that.
        """
        try:
            return self._perform(fn)
        finally:
            for closer in self._closers:
                closer()

    def _perform(self, fn: Callable[[], Any]) -> Any:
        error = sys.exception()
        if error is not None:
            fn = partial(call_while_handling, error, fn, (), {})
        call = _Call(fn)
        self._waiter = self._hub.new_waiter()
        self._thread.submit(self, partial(self._work, call))
        cancelled: BaseException | None = None
        while True:
            try:
                await_(self._waiter)
            except self._hub.cancelled as cancellation:
                may_wait = self._has_begun or self._is_finishing
                if cancelled is not None or not may_wait:
                    self._forsake()
                    raise
                cancelled, self._is_cancelled = cancellation, not self._is_finishing
                self._waiter = self._hub.new_waiter()
                self._wake_if_called(call)
                continue
            except BaseException:
                self._forsake()
                raise
            if call.is_done:
                break
            self._waiter = self._hub.new_waiter()
            self._do_what_is_wanted()
        result = call.take_result()
        if cancelled is not None:
            raise cancelled
        return result

    def _wake_if_called(self, call: _Call) -> None:
        # It came in the same moment as the cancellation.
        if call.is_done or self._wanted is not None:
            wake(self._waiter)

    def _do_what_is_wanted(self) -> None:
        call, self._wanted = self._wanted, None
        if call is None:
            return
        carry_over(call.context)
        outer = _waiting.get()
        _waiting.set(self)
        call.run()
        _waiting.set(outer)
        self.scope = self._find_scope()
        self._thread.submit_nothing()

    def _forsake(self) -> None:
        self._is_forsaken = True
        self._refuse_wanted()

    def _refuse_wanted(self) -> None:
        call, self._wanted = self._wanted, None
        if call is not None:
            call.error, call.is_done = asyncio.CancelledError(), True
            self._thread.submit_nothing()

    def _called(self, call: _Call | None) -> None:
        """
        Let the task go on. Runs in: the thread of the event loop.
        """
        self._wanted = call
        if self._is_forsaken:
            self._refuse_wanted()
        else:
            wake(self._waiter)

    # In the thread.

    def _work(self, call: _Call) -> None:
        self._has_begun = True
        if self._is_forsaken and not self._is_finishing:
            return
        outer, _here.errand = _here.errand, self
        try:
            call.context.run(self._run_here, call)
        finally:
            _here.errand = outer
        # The loop may have been closed meanwhile.
        with contextlib.suppress(RuntimeError):
            self._hub.call_threadsafe(self._called, None)

    def _run_here(self, call: _Call) -> None:
        # What belongs to a thread in asgiref's storage belongs to this one now.
        carry_over(call.context)
        call.run()

    def call(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """
        Return ``fn(...)``, run by the task in the bridge.

        Suspends: no, it blocks. Runs in: the thread on this errand. Raises
        ``CancelledError`` if the task was cancelled meanwhile.
        """
        self.check_cancelled()
        call = _Call(partial(fn, *args, **kwargs))
        self._hub.call_threadsafe(self._called, call)
        outer = _waiting.get()
        # Other jobs of the thread are no part of it.
        _here.errand = None
        try:
            self._thread.work_until(self, lambda: call.is_done)
        finally:
            _here.errand = self
        try:
            return call.take_result()
        finally:
            _waiting.set(outer)

    def is_inside(self, other: Errand) -> bool:
        """
        Return whether ``other`` may wait for this one, directly or not.
        """
        errand: Errand | None = self
        while errand is not None and errand is not other:
            errand = errand._outer
        return errand is other

    def check_cancelled(self) -> None:
        """
        Raise ``CancelledError`` if the task was cancelled: once, so that the thread
        can clean up.
        """
        if self._is_cancelled or self._is_forsaken:
            self._is_cancelled = False
            raise asyncio.CancelledError
