"""
Objects of an event loop that is not the test's: whose loop it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from ._owners import Owner

# What asyncio says about them.
_MESSAGES = ("different event loop", "different loop", "Event loop is closed")

# The tests, and classes, that have used a loop.
_users: WeakKeyDictionary[Any, list[Owner]] = WeakKeyDictionary()


def note_use(loop: Any, owner: Owner) -> None:
    with contextlib.suppress(TypeError):  # No weak references to a loop of its kind.
        owners = _users.setdefault(loop, [])
        # More would tell no more.
        if len(owners) < 2 or owner.outer is not owners[0].outer:
            owners.append(owner)


def explain(error: BaseException) -> None:
    """
    Add to asyncio's error about another loop which test that loop belongs to.
    """
    if not isinstance(error, RuntimeError):
        return
    if any(message in str(error) for message in _MESSAGES):
        owners = next(_owners_of_loops_in(error), None)
        if owners:
            error.add_note(
                f"It belongs to the event loop of {_name(owners)}. For what lives "
                "longer, keep one loop by `loop_scope = 'session'`, or make one object "
                "for each loop by `django_evergreen.bridge.LoopLocal`."
            )


def _name(owners: list[Owner]) -> str:
    if len(owners) == 1:
        return owners[0].name
    outer = {owner.outer.name if owner.outer else owner.name for owner in owners}
    return outer.pop() if len(outer) == 1 else "other tests"


def _owners_of_loops_in(error: BaseException) -> Iterator[list[Owner]]:
    running = asyncio.get_running_loop()
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        for value in tuple(frame.f_locals.values()):
            loop = _loop_of(value)
            if loop is not running and loop in _users:
                yield _users[loop]


def _loop_of(value: Any) -> Any:
    """
    Return a loop, or that of an object of asyncio.
    """
    if isinstance(value, asyncio.AbstractEventLoop):
        return value
    if isinstance(value, asyncio.Future):
        return value.get_loop()
    if type(value).__module__.startswith("asyncio."):
        return getattr(value, "_loop", None)
    return None
