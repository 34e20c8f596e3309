"""
``QuerySet._fetch_all``: rows and their prefetched ones appear together.

For Django 5.2 to 6.1. It stores the rows, then prefetches, and waits in between.
A second task that evaluates the same object meanwhile would get rows without
the prefetched ones. Django's threads can't: they take turns.

There is no lock here, as whoever holds it might wait for an ``atomic()`` block of
the task that waits for it. Instead, each task evaluates a copy.
"""

from __future__ import annotations

import functools
from typing import Any

from greenlet import getcurrent

from ..bridge._greenlets import BridgeGreenlet
from ._patch import Patch


def _make(original: Any) -> Any:
    @functools.wraps(original)
    def _fetch_all(self: Any) -> None:
        if (
            not self._prefetch_related_lookups
            or type(getcurrent()) is not BridgeGreenlet
            or _is_done(self)
        ):
            original(self)
            return
        copy = _copy(self)
        original(copy)
        if not _is_done(self):
            self._result_cache, self._prefetch_done = copy._result_cache, True

    return _fetch_all


def _is_done(queryset: Any) -> bool:
    return queryset._result_cache is not None and queryset._prefetch_done


def _copy(queryset: Any) -> Any:
    # Not by copy.copy(), which evaluates it.
    copy = object.__new__(type(queryset))
    vars(copy).update(vars(queryset))
    return copy


PATCHES = [
    Patch("django.db.models.query:QuerySet", "_fetch_all", _make),
    Patch("django.db.models.query:RawQuerySet", "_fetch_all", _make),
]
