"""
``QuerySet._fetch_all``: one task at a time.

For Django 5.2 to 6.1. It stores its rows, then those that are prefetched, and
waits in between. A second task that evaluated the same object meanwhile would
get rows without the prefetched ones. Django's threads can't: they take turns.
"""

from __future__ import annotations

import functools
from typing import Any

from greenlet import getcurrent

from ..bridge._greenlets import BridgeGreenlet
from ..bridge._lock import BridgeLock
from ..bridge._loops import current_task
from ._patch import Patch

LOCK = "_evergreen_evaluation"


class _Evaluation(BridgeLock):
    __slots__ = ("task",)

    def __init__(self) -> None:
        super().__init__()
        self.task = current_task()


def _make(original: Any) -> Any:
    @functools.wraps(original)
    def _fetch_all(self: Any) -> None:
        if type(getcurrent()) is not BridgeGreenlet or _is_done(self):
            original(self)
        else:
            _evaluate(original, self)

    return _fetch_all


def _is_done(queryset: Any) -> bool:
    return queryset._result_cache is not None and (
        queryset._prefetch_done or not queryset._prefetch_related_lookups
    )


def _evaluate(original: Any, queryset: Any) -> None:
    lock = vars(queryset).get(LOCK)
    if lock is None:
        lock = vars(queryset)[LOCK] = _Evaluation()
    elif lock.task is current_task():
        # Its own rows ask for it, while they are made.
        original(queryset)
        return
    with lock:
        lock.task = current_task()
        try:
            original(queryset)
        finally:
            lock.task = None
            if not lock.is_wanted():
                # Not in what is pickled.
                vars(queryset).pop(LOCK, None)


PATCHES = [
    Patch("django.db.models.query:QuerySet", "_fetch_all", _make),
    Patch("django.db.models.query:RawQuerySet", "_fetch_all", _make),
]
