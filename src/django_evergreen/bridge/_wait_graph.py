"""
Who waits for whom, read from asyncio's own books.

A future knows its callbacks, and from each callback it can be told which task
it will wake. So a wait that can never end is found before anybody hangs. What
is not known here (an event, a queue) counts as a wait that may end: no false
alarm is possible by it, only a missed one, which a deadline has to catch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any


def needs(
    waiting: Any, task: Any, also: Callable[[Any], Iterable[Any]] = lambda task: ()
) -> bool:
    """
    Return whether the task ``waiting`` can go on only after ``task`` has ended.

    ``also(task)`` returns further tasks that wait for one, for reasons that
    asyncio doesn't know.
    """
    todo, seen = [task], set()
    while todo:
        future = todo.pop()
        if future is waiting:
            return True
        if future in seen:
            continue
        seen.add(future)
        if isinstance(future, asyncio.Task):
            todo += also(future)
        for callback, _ in getattr(future, "_callbacks", None) or ():
            todo += _woken_by(callback)
    return False


def _woken_by(callback: Any) -> list[Any]:
    """
    Return the tasks and futures that a callback of a future ends or wakes.
    """
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        # `await task`.
        return [owner]
    names = _closure(callback)
    # asyncio's TaskGroup has a method for callback, anyio's a closure.
    group_is_left = getattr(names.get("self", owner), "_on_completed_fut", None)
    if group_is_left is not None:
        return [group_is_left]
    if "outer" in names:
        # asyncio.gather() and asyncio.shield().
        return [names["outer"]]
    if names.get("return_when") == asyncio.ALL_COMPLETED and "waiter" in names:
        # asyncio.wait(): not if it would stop waiting by itself.
        return [] if names.get("timeout_handle") else [names["waiter"]]
    return []


def _closure(callback: Any) -> dict[str, Any]:
    """
    Return the variables that a nested function has taken along.
    """
    code = getattr(callback, "__code__", None)
    cells = getattr(callback, "__closure__", None)
    if code is None or not cells:
        return {}
    names = {}
    for name, cell in zip(code.co_freevars, cells, strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:
            # Not assigned yet.
            continue
    return names
