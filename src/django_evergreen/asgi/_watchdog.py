"""
The watchdog: it names what holds the event loop, with the stack and the request.

While requests are in flight, a thread asks the loop for an answer, again and again. If
none comes, it looks at what runs there, and reports what still runs after the limit of
``EVERGREEN["WATCHDOG_MS"]``.

Guarantees:

- One warning for each time that the loop is held, and one line when that is over.
- What lasts one and a half times the limit is reported, what is shorter than the limit
  is not. A loop that waits for I/O isn't held, nor is one that has many short steps to
  do: the same step has to be seen from the beginning to the end.
- The thread rests, and wakes nobody, while no request is in flight. It ends with its
  loop. Switched off there is none.

Does not do: interrupt anything. It can't look while C code keeps the GIL, and then says
afterwards what it found.
"""

from __future__ import annotations

import functools
import os
import threading
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any

from django.core.signals import setting_changed

from ..bridge._loops import current_hub, running_loop
from ..conf import options
from ._suspect import Suspect, request_line, summary_of, what_runs

# Seconds, at least, between two looks: as long as a thread may keep the GIL.
MIN_PERIOD = 0.005

# Seconds that the thread may be late: less is usual where threads compete.
MAX_LATE = 0.05

# Seconds that the end of a loop waits for the thread, which may be in a log handler.
JOIN_TIMEOUT = 1.0

# Every loop that has had one; None after a change of the settings.
_watchdogs: dict[Any, Watchdog | None] = {}


class Watchdog:
    """
    Watches one event loop.
    """

    def __init__(self, loop: Any, limit: float) -> None:
        self._loop = loop
        # Seconds.
        self._limit, self._period = limit, max(limit / 2, MIN_PERIOD)
        self._loop_thread = threading.get_ident()
        # How many requests are being handled. Changed in the loop's thread only.
        self._in_flight = 0
        # When the loop has answered; None while it's still to answer.
        self._answered_at: float | None = 0.0
        # What may turn out to hold the loop.
        self._suspect: Suspect | None = None
        # When the thread was to look next. It's late if it didn't get the GIL.
        self._due = 0.0
        self._is_resting = self._is_closed = False
        self._wake = threading.Event()
        # daemon: a log handler must not keep the process alive.
        name = "django-evergreen watchdog"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        resting = "resting" if self._is_resting else "watching"
        state = "closed" if self._is_closed else resting
        return f"<Watchdog of {self._loop!r}, {state}, in flight: {self._in_flight}>"

    @staticmethod
    def of_loop() -> Watchdog | None:
        """
        Return the watchdog of the running loop, or None if it's switched off.

        It is started when it's first asked for, and again after a change of the
        settings.

        Suspends: no. Runs in: the thread of an event loop.
        """
        if not options().watchdog_ms:
            return None
        loop = running_loop()
        return _watchdogs.get(loop) or _start(loop)

    def naming(self, request_line: str) -> AbstractContextManager[None]:
        """
        Return a block in which the loop is watched, and that a report names: also if
        a task that was started in the block holds the loop.

        Suspends: no. Runs in: the task that handles the request.
        """
        return _Naming(self, request_line)

    def close(self) -> None:
        """
        End the thread.

        Suspends: no. Runs in: any thread.
        """
        self._is_closed = True
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN_TIMEOUT)

    def _stop_resting(self) -> None:
        self._is_resting, self._due = False, monotonic()
        self._wake.set()

    # What follows runs in the thread, except _answer().

    def _run(self) -> None:
        while self._sleep():
            self._tick()
        self._finish(self._answered_at or monotonic())

    def _sleep(self) -> bool:
        """
        Wait until it's time to look again; return False when there is nothing more.
        """
        self._due = monotonic()
        if self._may_rest():
            self._is_resting = True
            # Again, because a request counts first and then looks at is_resting.
            if not self._in_flight and not self._is_closed:
                self._wake.wait()
            self._is_resting = False
        else:
            self._due += self._period
            self._wake.wait(self._period)
        # Before is_closed is read, which is written the other way round.
        self._wake.clear()
        return not self._is_closed

    def _may_rest(self) -> bool:
        # A loop that has been stopped will not answer.
        is_answered = self._answered_at is not None or not self._loop.is_running()
        return not self._in_flight and self._suspect is None and is_answered

    def _tick(self) -> None:
        last = self._due
        if self._answered_at is not None:
            last = max(last, self._answered_at)
            self._finish(self._answered_at)
            if not self._in_flight:
                return
            self._ask()
        task, frames = what_runs(self._loop, self._loop_thread)
        now = monotonic()
        # Neither this thread has run meanwhile nor, as far as is known, the loop.
        was_blind = now - last >= max(self._limit, MAX_LATE)
        if not frames:
            self._finish(now)
            return
        suspect = self._suspect
        if suspect is None or not suspect.is_same(task, frames):
            self._finish(now)
            suspect = Suspect(task, frames, since=last if was_blind else now)
            self._suspect = suspect
        if not suspect.is_reported and now - suspect.since >= self._limit:
            suspect.name(task, frames)
            # What is local to the frames must not die in this thread.
            stack = summary_of(frames)
            del task, frames
            suspect.report(now - suspect.since, stack, was_blind=was_blind)

    def _ask(self) -> None:
        self._answered_at = None
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            # The loop is closed.
            self._is_closed = True

    def _answer(self) -> None:
        self._answered_at = monotonic()

    def _finish(self, at: float) -> None:
        suspect, self._suspect = self._suspect, None
        if suspect is not None and suspect.is_reported:
            suspect.report_end(at - suspect.since)


class _Naming:
    """
    The block of a request. A class, because it's cheaper than a generator.
    """

    __slots__ = ("_line", "_outer", "_watchdog")

    def __init__(self, watchdog: Watchdog, line: str) -> None:
        self._watchdog, self._line = watchdog, line

    def __enter__(self) -> None:
        watchdog = self._watchdog
        self._outer = request_line.get()
        request_line.set(self._line)
        watchdog._in_flight += 1
        if watchdog._is_resting:
            watchdog._stop_resting()

    def __exit__(self, *exc_info: object) -> None:
        # Not by a token: a coroutine that is dropped ends in another context.
        request_line.set(self._outer)
        self._watchdog._in_flight -= 1


def _start(loop: Any) -> Watchdog | None:
    hub = current_hub()
    if loop is None or hub.is_ending:
        return None
    if loop not in _watchdogs:
        hub.on_close(functools.partial(_end, loop))
    watchdog = _watchdogs[loop] = Watchdog(loop, options().watchdog_ms / 1000)
    return watchdog


def _end(loop: Any) -> None:
    watchdog = _watchdogs.pop(loop, None)
    if watchdog is not None:
        watchdog.close()


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    # After that of conf, which was connected first.
    if setting in ("EVERGREEN", "DEBUG"):
        for loop, watchdog in list(_watchdogs.items()):
            _watchdogs[loop] = None
            if watchdog is not None:
                watchdog.close()


setting_changed.connect(_on_setting_changed)
if hasattr(os, "register_at_fork"):
    # The threads are the parent's, and so are the loops, which its hubs keep.
    os.register_at_fork(after_in_child=_watchdogs.clear)
