"""
Every assignment into ``django.*`` and ``asgiref.*``: one file for each purpose.

They are applied once, by the app's ``ready()``, and can be reverted exactly.
"""

from __future__ import annotations

from . import (
    async_to_sync,
    async_unsafe,
    atomic_requests,
    auth,
    blocking,
    cache,
    connections,
    errors,
    evaluation,
    middleware,
    orm,
    sessions,
    signals,
    sync_to_async,
    transactions,
)
from ._patch import Patch

__all__ = ["ALL", "apply", "revert"]

ALL: list[Patch] = [
    patch
    for module in (
        async_unsafe,
        async_to_sync,
        sync_to_async,
        connections,
        transactions,
        atomic_requests,
        orm,
        evaluation,
        signals,
        sessions,
        auth,
        cache,
        blocking,
        middleware,
        errors,
    )
    for patch in module.PATCHES
]


def apply() -> None:
    """
    Apply every patch that is not applied yet.

    Suspends: no. Runs in: any thread, before the first request.
    """
    for patch in ALL:
        patch.apply()


def revert() -> None:
    """
    Undo every patch, in reverse order.

    Suspends: no. Runs in: any thread, while no event loop runs.
    """
    for patch in reversed(ALL):
        patch.revert()
