"""
What everything that a test has started was doing, for the report of a time-out.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any

from ._leftovers import name_of, serves_thread
from ._owners import Owner
from ._sites import frames_of_thread, is_own, is_users, statement_in, waiting_frames
from ._threads import Threads


def describe_stacks(engine: Any, owner: Owner) -> str:
    """
    Return the stacks of the test, of its tasks and of other threads.
    """
    parts = [_section("The test", waiting_frames(engine.task.get_coro()))]
    for task, (_, site) in owner.tasks.items():
        if serves_thread(site):
            # The thread tells more.
            continue
        title = f"The task {name_of(task)!r}"
        parts.append(_section(title, waiting_frames(task.get_coro())))
    at_work = {job.thread for job in Threads(engine, owner).jobs()}
    for thread in threading.enumerate():
        if thread in at_work or thread not in owner.threads_before:
            title = f"The thread {thread.name!r}"
            parts.append(_section(title, frames_of_thread(thread.ident)))
    return "".join(parts)


def _section(title: str, frames: Sequence[FrameType]) -> str:
    summary = traceback.StackSummary.extract(
        (frame, frame.f_lineno)
        for frame in _from_first_of_user(frames)
        if not is_own(frame.f_code.co_filename)
    )
    text = f"\n\n{title} was at:\n{''.join(summary.format()).rstrip()}"
    sql = statement_in(frames)
    return f"{text}\n  at the database: {sql}" if sql else text


def _from_first_of_user(frames: Sequence[FrameType]) -> Sequence[FrameType]:
    for index, frame in enumerate(frames):
        if is_users(frame.f_code.co_filename):
            return frames[index:]
    return frames
