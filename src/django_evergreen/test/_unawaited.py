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

from ._leftovers import of_coroutine
from ._owners import Owner

_MESSAGE = r"coroutine '.*' was never awaited"

# Frames that Python notes for each new coroutine: as many as Django's managers put
# between a call and the coroutine function.
_ORIGIN_DEPTH = 3


# What was put in front of the warning filters.
_filter: list[Any] = [None]


@contextlib.contextmanager
def watching_coroutines(owner: Owner) -> Iterator[None]:
    """
    Note in the owner the coroutines that are dropped without being awaited.
    """
    show, depth = warnings.showwarning, sys.get_coroutine_origin_tracking_depth()

    def note(message: Any, category: Any, *more: Any) -> None:
        text = str(message)
        is_one = issubclass(category, RuntimeWarning) and "was never awaited" in text
        if is_one and not _is_of_another_test(text, owner):
            owner.closed_loudly.append(text)
        else:
            show(message, category, *more)

    sys.set_coroutine_origin_tracking_depth(_ORIGIN_DEPTH)
    if not warnings.filters or warnings.filters[0] is not _filter[-1]:
        warnings.filterwarnings("always", _MESSAGE, RuntimeWarning)
        _filter[:] = warnings.filters[:1]
    warnings.showwarning = note  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.showwarning = show
        _finished.add(_function_of(owner))
        sys.set_coroutine_origin_tracking_depth(depth)


# The test functions that have been run.
_finished: set[str] = set()


def _function_of(owner: Owner) -> str:
    return owner.name.rpartition(".")[2]


def _is_of_another_test(warning: str, owner: Owner) -> bool:
    """
    Return whether the coroutine of a warning was made by a test that is over, and kept
    alive until now.
    """
    made_at = of_coroutine(warning).created_at
    return (
        made_at is not None
        and made_at.function in _finished
        and made_at.function != _function_of(owner)
    )


def collect_young() -> None:
    """
    Have dropped coroutines that are in a cycle found while their test runs.
    """
    gc.collect(1)
