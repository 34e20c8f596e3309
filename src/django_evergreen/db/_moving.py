"""
Moving connections to another event loop, with the transactions open on them.
"""

from __future__ import annotations

from typing import Any

from ..bridge._loops import Hub
from ._scopes import _scopes


def move_scope(old: Any, task: Any, hub: Hub) -> None:
    """
    Give the connections of a task to one of another loop.

    Neither uses them meanwhile. Suspends: no. Runs in: the thread of both loops.
    """
    scope = _scopes.pop(old, None)
    if scope is None:
        return
    _scopes[task] = scope
    scope.task, scope.hub = task, hub
    for wrapper in scope.leased:
        move = getattr(wrapper.connection, "move_to", None)
        if move is not None:
            move(hub)
        if wrapper._transaction is not None:
            for block in wrapper._transaction.blocks:
                block.task = task
