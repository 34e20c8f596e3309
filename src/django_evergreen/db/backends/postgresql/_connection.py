"""
psycopg's connection, waiting on the event loop.

psycopg does its I/O in generators that yield what they wait for, and
``Connection.wait`` drives them. Inside the bridge this one suspends until the
event loop reports the descriptor ready; anywhere else it is psycopg's own.

Guarantees, for a connection opened in the bridge:

- Nothing blocks the loop: connecting, resolving a name, querying, cancelling.
- A cancelled wait cancels the statement on the server and reads its result, so
  that the connection is usable at once; else the connection is closed.
- It is used only by the scope that has borrowed it.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any, NoReturn

import psycopg
from greenlet import getcurrent
from psycopg import capabilities
from psycopg import errors as e
from psycopg.pq import ConnStatus, TransactionStatus

from ....bridge._greenlets import BridgeGreenlet
from ....bridge._lock import BridgeLock
from ....bridge._loops import FdWatch, Hub, WatchClosed, current_hub, current_task
from ....bridge._switch import in_bridge, suspend
from ..._errors import LeaseEnded
from ..._finishing import FINISH_TIMEOUT, Finishing
from ..._pool import ENDED
from ._connecting import INTERVAL, rebind_connect, wait_conn

logger = logging.getLogger("django_evergreen.postgresql")

# Seconds that a cancelled statement may take to end before its connection is
# closed; and those after which the server is asked again. Once is not enough:
# the first request may hit the BEGIN that psycopg sends before a statement.
CANCEL_TIMEOUT = 5.0
CANCEL_AGAIN = 0.02

ACTIVE = TransactionStatus.ACTIVE
OK = ConnStatus.OK


def _until(deadline: float, wait: Any) -> Any:
    """
    Return a wait that raises when it has taken until the deadline.
    """

    def wait_until(events: int) -> int:
        ready: int = wait(events, timeout=max(0.0, deadline - monotonic()))
        if not ready:
            raise e._WaitTimeout("wait timeout expired")
        return ready

    return wait_until


class Connection(psycopg.Connection[Any]):
    """
    A psycopg connection that suspends in the bridge and blocks elsewhere.
    """

    # The hub of the loop on which it waits; None if opened outside the bridge:
    # such a connection always blocks.
    _hub: Hub | None = None
    _watch: FdWatch
    # Who has borrowed it from the pool; None while it's in no pool.
    lease: Any = None

    connect = rebind_connect()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if in_bridge():
            self._hub = current_hub()
            self._watch = self._hub.watch(self.pgconn.socket)
            # psycopg's own is a threading.Lock: two tasks would freeze the loop.
            self.lock: Any = BridgeLock()

    def move_to(self, hub: Hub) -> None:
        """
        Wait on another loop from now on.
        """
        self._watch.close()
        self._hub, self._watch = hub, hub.watch(self.pgconn.socket)

    def wait(
        self, gen: Any, interval: float = INTERVAL, timeout: float | None = None
    ) -> Any:
        if self._hub is None:
            return super().wait(gen, interval, timeout)
        finishing = self._check_may_wait()
        if self._hub.blocks and timeout is None:
            return super().wait(gen, interval)
        wait = self._watch.wait
        if timeout is not None or finishing is not None:
            wait = self._patient_wait(finishing, timeout)
        try:
            events = next(gen)
            while True:
                try:
                    ready = wait(events)
                except BaseException as error:
                    wait = self._interrupted(gen, events, error, finishing)
                    ready = 0
                events = gen.send(ready)
        except StopIteration as stop:
            return stop.value
        finally:
            # libpq closes the descriptor by itself when the server is gone;
            # the next connection gets the same number.
            if self.pgconn.status != OK:
                self._watch.close()

    def _check_may_wait(self) -> Finishing | None:
        """
        Refuse before anything is sent: a statement can't be left half-way.

        Returns what decides about cancellations, if a block is being ended.
        """
        g: Any = getcurrent()
        if type(g) is not BridgeGreenlet or g.hub is not self._hub:
            self._refuse_outside()
        lease = self.lease
        if (
            lease is not None
            and current_task() is not lease.task
            and not lease.admits(self)
        ):
            self._refuse_stale()
        if g.refusal is not None:
            if g.closed:
                # The COMMIT or ROLLBACK that is due can't be sent any more.
                self._finish()
            g.refusal(None)
        return g.finishing  # type: ignore[no-any-return]

    def _patient_wait(self, finishing: Finishing | None, timeout: float | None) -> Any:
        """
        Return how to wait for the descriptor, with the deadline that applies.
        """
        if finishing is not None:
            timeout = finishing.remaining()
        if timeout is None:
            return self._watch.wait
        return _until(monotonic() + timeout, self._watch.wait)

    def _interrupted(
        self, gen: Any, events: int, error: BaseException, finishing: Finishing | None
    ) -> Any:
        """
        Return how to wait on, if the wait for the end of a block was cut short.

        Else leave the connection usable, or closed, and raise ``error``.
        """
        if isinstance(error, WatchClosed):
            self._close_interrupted(gen)
        if finishing is None:
            if not isinstance(error, e._WaitTimeout):
                self._cut_short(gen, events, error)
        elif finishing.absorb(error):
            return self._patient_wait(finishing, None)
        else:
            # Nobody knows whether the block has been committed.
            self._finish()
        if finishing is not None and isinstance(error, e._WaitTimeout):
            msg = (
                f"{self!r} did not end a block within {FINISH_TIMEOUT:g} s after its "
                "task was cancelled: it was closed."
            )
            raise e.OperationalError(msg) from None
        raise error

    def _close_interrupted(self, gen: Any) -> NoReturn:
        """
        Do what another task's close() had to leave to this one.
        """
        gen.close()
        self._finish()
        raise e.OperationalError(self._closed_message()) from None

    def _closed_message(self) -> str:
        return f"{self!r} was closed by another task while it was in use."

    def _cut_short(self, gen: Any, events: int, error: BaseException) -> None:
        if self.lease is not None:
            self.lease.interrupted(self, error)
        if isinstance(error, GeneratorExit):
            # The task is being closed and can't wait any more.
            self._finish()
        elif self.pgconn.transaction_status != ACTIVE:
            gen.close()
        elif self._pipeline is not None:
            # Whose statements can't be told apart any more.
            self._request_cancel(CANCEL_TIMEOUT)
            self._finish()
        elif not self._cancel_and_drain(gen, events):
            self._finish()

    def _cancel_and_drain(self, gen: Any, events: int) -> bool:
        """
        Cancel the statement on the server and read its result to the end.

        Returns whether the connection is in a known state. Suspends: yes, for
        CANCEL_TIMEOUT at most. On cancellation: goes on.
        """
        deadline = monotonic() + CANCEL_TIMEOUT
        patience = CANCEL_AGAIN
        # Else a request may still be under way, and hit the next statement.
        all_arrived = True
        try:
            while (now := monotonic()) < deadline:
                all_arrived &= self._request_cancel(deadline - now)
                if self._closed:
                    return False
                again_at = min(deadline, monotonic() + patience)
                while (remaining := again_at - monotonic()) > 0:
                    ready = self._watch.wait(events, timeout=remaining, shield=True)
                    if ready:
                        events = gen.send(ready)
                patience *= 2
        except (StopIteration, e.QueryCanceled):
            return all_arrived
        except WatchClosed:
            return False
        except e.Error as error:
            logger.debug("%r failed after its cancellation: %s", self, error)
            return all_arrived and bool(self.pgconn.status == OK)
        logger.warning("%r did not end its statement in time: closing it", self)
        return False

    def _request_cancel(self, timeout: float) -> bool:
        """
        Return whether the server has received the request.
        """
        try:
            if capabilities.has_cancel_safe():
                wait_conn(self._cancel_gen(), timeout=timeout, shield=True)
            else:
                # libpq before 17 can only do it blocking.
                hub = current_hub()
                cancel = self.pgconn.get_cancel().cancel
                suspend(hub.shielded(hub.run_in_thread(cancel)))  # type: ignore[arg-type]
        except e.Error as error:
            logger.warning("%r could not be cancelled: %s", self, error)
            return False
        return True

    def abort_statement(self) -> None:
        """
        Cancel what another task executes; close if it doesn't end by that.
        """
        self._request_cancel(CANCEL_TIMEOUT)
        timer = current_hub().call_later(CANCEL_TIMEOUT, self.close)
        try:
            with self.lock:
                pass
        finally:
            timer.cancel()

    def cancel_safe(self, *, timeout: float = 30.0) -> None:
        if self._hub is None or not in_bridge() or not capabilities.has_cancel_safe():
            super().cancel_safe(timeout=timeout)
        elif self._should_cancel():
            try:
                wait_conn(self._cancel_gen(), timeout=timeout or None)
            except e._WaitTimeout:
                raise e.CancellationTimeout("cancellation timeout expired") from None

    def close(self) -> None:
        if self._hub is None or not self.lock.locked:
            self._finish()
            super().close()
            return
        # libpq must not lose its connection below a generator of psycopg: who
        # has the lock finds out before he goes on with that one, and closes. Or he
        # has nothing to send, and only releases it.
        if not self._closed:
            self.lock.call_when_free(self._finish)
        self._closed = True
        self.lease = ENDED
        self._watch.close()

    @staticmethod
    def forget_cursor(cursor: Any) -> None:
        """
        Close a cursor of a closed connection, though that may be in use: its own
        ``close()`` would wait for the lock. Suspends: no.
        """
        cursor._close()

    def is_closing(self) -> bool:
        """
        Return whether it's closed, or will be as soon as it isn't in use.
        """
        return bool(self._closed)

    def _finish(self) -> None:
        if self._hub is not None:
            self._watch.close()
        self.pgconn.finish()

    def is_broken(self) -> bool:
        """
        Return whether the server has closed this idle connection.

        Suspends: no. The event loop has noticed it while it was idle.
        """
        if self._watch.suspect:
            self._watch.suspect = False
            try:
                # The first time yields the last words of the server, and only the
                # second time that it is gone.
                self.pgconn.consume_input()
                self.pgconn.consume_input()
            except e.Error:
                self._watch.close()
        return bool(self.pgconn.status != OK)

    def _refuse_outside(self) -> None:
        msg = (
            f"{self!r} was opened on {self._hub!r} and can't be used outside the "
            "bridge on that event loop. Use `await run_sync(function)` there."
        )
        raise e.InterfaceError(msg)

    def _refuse_stale(self) -> None:
        if self._closed:
            self._finish()
            raise e.OperationalError(self._closed_message())
        msg = (
            f"{self!r} was given back to its pool while the task waited for something "
            "else, and can't be used by this cursor any more. Keep it: open the cursor "
            "by `with connection.cursor() as cursor:`."
        )
        raise LeaseEnded(msg)
