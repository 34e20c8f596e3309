"""
What holds an event loop: seen from another thread, and put into words.

It reads frames, tasks and greenlets of a thread that may go on at any moment. The GIL
makes each single look safe, and the next one may be of another moment.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import sys
import sysconfig
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from traceback import StackSummary
from types import FrameType
from typing import Any

import django

from ..bridge._greenlets import _perform

logger = logging.getLogger("django_evergreen.watchdog")

Task = asyncio.Task[Any]

# The request line of what runs in this context, such as "GET /books/1/".
request_line = contextvars.ContextVar("evergreen_request_line", default="")


class Suspect:
    """
    One step of a task, or one callback, that was seen to run.
    """

    def __init__(
        self, task: Task | None, frames: Sequence[FrameType], since: float
    ) -> None:
        # Weak, because a task must not die in the thread of the watchdog.
        self._task = None if task is None else weakref.ref(task)
        self._code = frames[-1].f_code
        self.since = since
        self.is_reported = False

    def is_same(self, task: Task | None, frames: Sequence[FrameType]) -> bool:
        same_task = (None if self._task is None else self._task()) is task
        return same_task and frames[-1].f_code is self._code

    def name(self, task: Task | None, frames: Sequence[FrameType]) -> None:
        self.task_name = task.get_name() if task else ""
        self.request = _request_of(task) if task else ""
        self.title = self.request or (
            f"Task {self.task_name!r}" if task else "A callback"
        )
        users = (frame for frame in frames if _is_users(frame.f_code.co_filename))
        frame = next(users, frames[0])
        code = frame.f_code
        self.place = f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"

    def report(self, seconds: float, stack: StackSummary, *, was_blind: bool) -> None:
        self.is_reported = True
        logger.warning(
            "%s %s\nThe stack of %s (most recent call last):\n%s",
            self._blind(seconds) if was_blind else self._held(seconds),
            "Call what blocks by django_evergreen.bridge.offload(...) in sync code, "
            "by `await asyncio.to_thread(...)` in a coroutine.",
            f"task {self.task_name!r}" if self.task_name else "the callback",
            "".join(stack.format()).rstrip(),
            extra=self._extra(seconds),
        )

    def _held(self, seconds: float) -> str:
        held = f"has held the event loop for {seconds:.2f} s"
        return f"{self.title} {held}, at {self.place}. Nothing else runs meanwhile."

    def _blind(self, seconds: float) -> str:
        return (
            f"{self.title} seems to have held the event loop for {seconds:.2f} s, in "
            "which no Python code could run: C code kept the GIL, or the machine was "
            "too busy. The stack of that time is unknown; just afterwards it was at "
            f"{self.place}."
        )

    def report_end(self, seconds: float) -> None:
        text = "%s gave the event loop back after %.2f s."
        logger.info(text, self.title, seconds, extra=self._extra(seconds))

    def _extra(self, seconds: float) -> dict[str, Any]:
        return {
            "evergreen_request": self.request,
            "evergreen_task": self.task_name,
            "evergreen_place": self.place,
            "evergreen_seconds": seconds,
        }


_STEP = asyncio.Handle._run.__code__
_TURN = asyncio.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]
_RUNNER = asyncio.Runner.run.__code__


def what_runs(loop: Any, thread_id: int) -> tuple[Task | None, list[FrameType]]:
    """
    Return the task and the frames, the innermost first and without those of the loop;
    no frames if the loop is idle.
    """
    if not loop.is_running():
        return None, []
    task = asyncio.current_task(loop)
    first = getattr(task and task.get_coro(), "cr_frame", None)
    frames: list[FrameType] = []
    for frame in _outwards(sys._current_frames().get(thread_id)):
        if frame.f_code is _TURN:
            # It's in none of its callbacks.
            return None, []
        if frame.f_code is _STEP or frame.f_code is _RUNNER:
            # uvloop has no Python code of its own below.
            return task, frames
        frames.append(frame)
        if frame is first:
            return task, frames
    # A greenlet of others has no frames of its task. Without a task this is what
    # has called the loop.
    return task, frames if task else []


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """
    Yield a frame and those that called it, also from the bridge to its driver.
    """
    driver = None
    while frame is not None:
        yield frame
        if frame.f_code is _perform.__code__:
            # Not yet there at its very beginning.
            driver = getattr(frame.f_locals.get("g"), "parent", None)
        frame = frame.f_back
        if frame is None and driver is not None:
            frame, driver = driver.gr_frame, None


def summary_of(frames: Sequence[FrameType]) -> StackSummary:
    """
    Return what can be printed of the frames, and doesn't keep them.
    """
    pairs = (
        (frame, frame.f_lineno)
        for frame in reversed(frames)
        if not frame.f_code.co_filename.startswith(_BRIDGE)
    )
    return StackSummary.extract(pairs, lookup_lines=False)


def _request_of(task: Task) -> str:
    if sys.version_info >= (3, 12):
        context = task.get_context()
    else:
        # The first of its contexts is its own.
        referents = gc.get_referents(task)
        context = next(each for each in referents if type(each) is contextvars.Context)
    return context.get(request_line, "")


# The code of others: of Python, of installed packages, of Django, of this package.
_LIBRARIES = tuple(
    str(path) + os.sep
    for path in (
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        Path(django.__file__).parent,
        Path(__file__).parent.parent,
    )
)
_BRIDGE = str(Path(__file__).parent.parent / "bridge") + os.sep


def _is_users(filename: str) -> bool:
    return not filename.startswith(("<", *_LIBRARIES))
