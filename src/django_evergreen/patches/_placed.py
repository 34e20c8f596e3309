"""
Sync code as the bridge can call it: by itself, or in the thread of the request.
"""

from __future__ import annotations

import functools
from functools import partial
from typing import Any

from .._placing import Place, Placement, placement_of
from ..bridge import in_bridge
from ..db._errands import current_thread


def placed(fn: Any, placement: Placement | None = None) -> Any:
    """
    Return ``fn``, or what calls it in the thread of the request if it may block.
    """
    placement = placement or placement_of(fn)
    if placement.place is not Place.THREAD:
        return fn
    call: Any = partial(call_in_thread, fn)
    # The marks of decorators, and what Django's error messages name.
    functools.update_wrapper(call, fn)
    if hasattr(fn, "__self__"):
        call.__self__ = fn.__self__
    return call


def call_in_thread(fn: Any, /, *args: Any, **kwargs: Any) -> Any:
    """
    Return ``fn(...)``, run in the thread of the request if there is one.
    """
    thread = current_thread.get()
    if thread is None or not in_bridge():
        return fn(*args, **kwargs)
    return thread.perform(fn, *args, **kwargs)
