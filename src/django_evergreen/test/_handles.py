"""
Timers, readers and writers of the event loop that a test has left over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._leftovers import Leftover
from ._owners import Owner, owner_in
from ._sites import Site, is_users


def handles_of(owner: Owner, loop: Any) -> Iterator[tuple[Leftover, Any]]:
    """
    Yield the timers, readers and writers of the user's code, and how to end each.
    Where the loop tells: uvloop doesn't.
    """
    for timer in tuple(getattr(loop, "_scheduled", ())):
        if not timer.cancelled() and _is_handle_of(owner, timer):
            name = f"call_at(), due in {timer.when() - loop.time():.1f} s"
            yield _of_handle("timer", name, timer), timer.cancel
    selector = getattr(loop, "_selector", None)
    for key in tuple(((selector and selector.get_map()) or {}).values()):
        if not isinstance(key.data, tuple):
            continue
        reader, writer = key.data
        for handle, name, remove in (
            (reader, "add_reader()", loop.remove_reader),
            (writer, "add_writer()", loop.remove_writer),
        ):
            if handle is not None and _is_handle_of(owner, handle):
                yield (
                    _of_handle("reader", f"{name} of descriptor {key.fd}", handle),
                    _calling(remove, key.fd),
                )


def _calling(fn: Any, *args: Any) -> Any:
    return lambda: fn(*args)


def _is_handle_of(owner: Owner, handle: Any) -> bool:
    code = getattr(_below(handle._callback), "__code__", None)
    if code is None or not is_users(code.co_filename):
        # Timers and transports of asyncio and of libraries.
        return False
    return owner_in(getattr(handle, "_context", None)) is owner


def _below(fn: Any) -> Any:
    while hasattr(fn, "func"):
        fn = fn.func
    return fn


def _of_handle(kind: str, name: str, handle: Any) -> Leftover:
    fn = _below(handle._callback)
    code = fn.__code__
    return Leftover(
        kind=kind,
        name=name,
        function=fn.__qualname__,
        created_at=_made_at(handle),
        waits_at=Site(code.co_filename, code.co_firstlineno, code.co_qualname),
    )


def _made_at(handle: Any) -> Site | None:
    """
    Return where a handle was made. asyncio knows it in debug mode only.
    """
    for frame in reversed(getattr(handle, "_source_traceback", None) or ()):
        if is_users(frame.filename):
            return Site(frame.filename, frame.lineno, frame.name)
    return None
