"""
Coroutines that were never awaited: which test has made them.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from ._owners import Owner

_MESSAGE = r"coroutine '.*' was never awaited"

# Frames that Python notes for each new coroutine: as many as Django's managers put
# between a call and the coroutine function.
_ORIGIN_DEPTH = 3


@contextlib.contextmanager
def watching_coroutines(owner: Owner) -> Iterator[None]:
    """
    Note in the owner the coroutines that are dropped without being awaited.
    """
    show, depth = warnings.showwarning, sys.get_coroutine_origin_tracking_depth()

    def note(message: Any, category: Any, *more: Any) -> None:
        text = str(message)
        if issubclass(category, RuntimeWarning) and "was never awaited" in text:
            owner.closed_loudly.append(text)
        else:
            show(message, category, *more)

    sys.set_coroutine_origin_tracking_depth(_ORIGIN_DEPTH)
    warnings.filterwarnings("always", _MESSAGE, RuntimeWarning)
    warnings.showwarning = note  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.showwarning = show
        sys.set_coroutine_origin_tracking_depth(depth)


def collect_young() -> None:
    """
    Have dropped coroutines that are in a cycle found while their test runs.
    """
    gc.collect(1)
