"""
Places in the user's code: where something was started, where it waits.
"""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import django
from django.core.handlers.base import BaseHandler
from greenlet import getcurrent

from ..bridge._greenlets import BridgeGreenlet
from ..bridge._switch import run_sync
from ._requests import current_request
from ._steps import _drive

# The code of others: of Python, of installed packages, of Django, of this package.
_LIBRARIES = tuple(
    str(path) + os.sep
    for path in (
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        Path(django.__file__).parent,
        Path(__file__).parent.parent,
    )
)
_PACKAGE = str(Path(__file__).parent.parent) + os.sep
_ASYNCIO = str(Path(asyncio.__file__).parent) + os.sep
# Where Django calls the drivers.
_BACKENDS = str(Path(django.__file__).parent / "db" / "backends") + os.sep
_known: dict[str, bool] = {}

# Where a step of a task begins.
_STEP = asyncio.Handle._run.__code__

_HANDLERS = {
    BaseHandler.get_response.__code__,
    BaseHandler.get_response_async.__code__,
}


class Site(NamedTuple):
    """
    A line of code; who did it there; for which request ("GET /books/", or "").
    """

    filename: str
    line: int
    function: str
    # The module and the function of who did it: a library, perhaps.
    doer: str = ""
    request: str = ""

    def __str__(self) -> str:
        return f"{self.filename}:{self.line} in {self.function}"


def is_users(filename: str) -> bool:
    """
    Return whether a file is of the project, not of a library.
    """
    known = _known.get(filename)
    if known is None:
        known = not filename.startswith(("<", *_LIBRARIES))
        _known[filename] = known
    return known


def is_own(filename: str) -> bool:
    """
    Return whether a file is of this package.
    """
    return filename.startswith(_PACKAGE)


def calling_site(depth: int = 1) -> Site | None:
    """
    Return where the user's code called what calls this, or the innermost frame
    of others if there is no such code.
    """
    doer = found = None
    first = sys._getframe(depth + 1)
    frames = _outwards(first)
    for frame in frames:
        code = frame.f_code
        if code is _STEP:
            break
        if doer is None and not code.co_filename.startswith(_ASYNCIO):
            doer = frame
        if is_users(code.co_filename):
            found = frame
            break
    request = current_request.get()
    if not request and django.VERSION < (6, 1):
        # Its async signals call receivers in a task, which sets nothing here.
        handlers = (frame for frame in frames if frame.f_code in _HANDLERS)
        request = next(map(_request_in, handlers), "")
    return _site(found or first, doer, request)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """
    Yield a frame and those that called it, through greenlets of the bridge too.
    """
    g: Any = getcurrent()
    while frame is not None:
        yield frame
        if frame.f_code is run_sync.__code__:
            # Below it is what a job in the bridge awaits, if that is suspended.
            yield from reversed(_frames_in_bridge(frame))
        frame = frame.f_back
        if frame is None and type(g) is BridgeGreenlet:
            g = g.parent
            frame = g.gr_frame


def _site(frame: FrameType, doer: FrameType | None = None, request: str = "") -> Site:
    code = frame.f_code
    who = ""
    if doer is not None:
        who = f"{doer.f_globals.get('__name__')}.{doer.f_code.co_qualname}"
    return Site(code.co_filename, frame.f_lineno or 0, code.co_qualname, who, request)


def waiting_frames(awaitable: Any) -> list[FrameType]:
    """
    Return the frames of a suspended coroutine, the innermost last.
    """
    frames: list[FrameType] = []
    while awaitable is not None:
        frame, inner = _frame_and_inner(awaitable)
        if frame is None:
            break
        frames.append(frame)
        if frame.f_code is run_sync.__code__:
            frames += _frames_in_bridge(frame)
        elif frame.f_code is _drive.__code__:
            inner = frame.f_locals["coroutine"]
        awaitable = inner
    return frames


def _frame_and_inner(awaitable: Any) -> tuple[FrameType | None, Any]:
    for prefix, inner in (("cr", "await"), ("gi", "yieldfrom"), ("ag", "await")):
        frame = getattr(awaitable, f"{prefix}_frame", None)
        if frame is not None:
            return frame, getattr(awaitable, f"{prefix}_{inner}")
    return None, None


def _frames_in_bridge(frame: FrameType) -> list[FrameType]:
    g = frame.f_locals.get("g")
    inside = getattr(g, "gr_frame", None)
    frames: list[FrameType] = []
    while inside is not None:
        frames.append(inside)
        inside = inside.f_back
    return frames[::-1]


def _request_in(frame: FrameType) -> str:
    request = frame.f_locals.get("request")
    return f"{request.method} {request.get_full_path()}" if request else ""


def innermost_site(frames: Iterable[FrameType]) -> Site | None:
    """
    Return the innermost place in the user's code; without one, the innermost.
    """
    frames = list(frames)
    handlers = [frame for frame in frames if frame.f_code in _HANDLERS]
    request = _request_in(handlers[-1]) if handlers else ""
    for frame in reversed(frames):
        if is_users(frame.f_code.co_filename):
            return _site(frame, request=request)
    if not frames or is_own(frames[-1].f_code.co_filename):
        return None
    return _site(frames[-1], request=request)


def first_of_user(traceback: TracebackType | None) -> TracebackType | None:
    """
    Return a traceback without the frames before the user's code, if it gets there.
    """
    part = traceback
    while part is not None:
        if is_users(part.tb_frame.f_code.co_filename):
            return part
        part = part.tb_next
    return traceback


def frames_of_thread(ident: int | None) -> list[FrameType]:
    """
    Return the frames of a running thread, the innermost last.
    """
    frame = sys._current_frames().get(ident or 0)
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def is_at_database(frames: Iterable[FrameType]) -> bool:
    """
    Return whether a thread may be in the middle of something at a database.
    """
    return any(frame.f_code.co_filename.startswith(_BACKENDS) for frame in frames)


def statement_in(frames: Iterable[FrameType]) -> str:
    """
    Return the SQL that one of the frames is sending, or "".
    """
    for frame in frames:
        if frame.f_code.co_name in _SENDERS:
            sql = frame.f_locals.get("sql")
            if isinstance(sql, str):
                return sql
    return ""


# Of django.db.backends.utils.CursorWrapper.
_SENDERS = {"_execute", "_executemany"}
