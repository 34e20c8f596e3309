"""
Blocks that choose which connections the code inside them uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import NotSupportedError

from ..bridge import in_bridge, run_sync
from ..exceptions import NotInBridge
from ._errands import current_errand
from ._scopes import Scope, current_scope, replace_scope
from ._transactions import Block, is_in_test, swap_blocks
from ._wrapper import ScopedWrapper


class _BridgeBlock:
    """
    A block with an ``async with`` and, in the bridge, a ``with``.
    """

    def _enter(self) -> None:
        raise NotImplementedError

    def _exit(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> None:
        if (errand := current_errand()) is not None:
            errand.call(self._enter)
            return
        self._check("with")
        self._enter()

    def __exit__(self, *exc_info: object) -> None:
        if (errand := current_errand()) is not None:
            errand.call(self._exit)
        else:
            self._exit()

    async def __aenter__(self) -> None:
        await run_sync(self._enter)

    async def __aexit__(self, *exc_info: object) -> None:
        await run_sync(self._exit)

    def _check(self, statement: str) -> None:
        if not in_bridge():
            name = type(self).__name__
            msg = (
                f"`{statement} {name}()` can be used only in sync code in the bridge. "
                f"In async code write `async with {name}()`; without an event loop "
                "there is one connection for each thread, and nothing to choose."
            )
            raise NotInBridge(msg)


class new_connections(_BridgeBlock):  # noqa: N801  (DEP 9's name)
    """
    Give the code in this block connections of its own, outside any transaction.

    Tasks started inside have their own, too. A transaction that is open around
    the block is as it was after it. In a test that is rolled back the block does
    nothing, as all that the test does is one transaction.

    Suspends: no. Runs in: a task; with ``with``, in the bridge.
    """

    # None in a test that is rolled back.
    _scope: Scope | None = None
    _blocks: Mapping[str, Block]

    def _enter(self) -> None:
        if is_in_test():
            return
        outer = current_scope()
        assert outer is not None
        # Nobody would give back what it has, while the block has its place.
        outer.release_idle()
        self._blocks = swap_blocks({})
        self._scope = Scope(outer.task, outer.hub, outer)
        replace_scope(self._scope)

    def _exit(self) -> None:
        if self._scope is None:
            return
        self._scope.release_idle()
        self._scope.end()
        assert self._scope.outer is not None
        replace_scope(self._scope.outer)
        swap_blocks(self._blocks)


class hold_connection(_BridgeBlock):  # noqa: N801  (a block, named as a verb)
    """
    Keep one physical connection for this block, whatever it waits for.

    For what belongs to a session of the database: ``SET``, temporary tables,
    advisory locks, ``LISTEN``. To leave nothing of it to the next user, the
    connection is closed at the end of the block, or of the transaction around it.

    Args:
        using: the alias of the database.

    Raises:
        NotSupportedError: behind a transaction pooler (as the setting
            ``DISABLE_SERVER_SIDE_CURSORS`` tells), except in a transaction.

    Suspends: until there is a connection. Runs in: a task; with ``with``, in the
    bridge.
    """

    def __init__(self, using: str = DEFAULT_DB_ALIAS) -> None:
        self._using = using
        self._held: Any = None

    def _enter(self) -> None:
        wrapper: Any = connections[self._using]
        assert isinstance(wrapper, ScopedWrapper)
        if (
            wrapper.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
            and not wrapper.in_atomic_block
        ):
            msg = (
                f"hold_connection({self._using!r}) can't keep a session: with "
                "DISABLE_SERVER_SIDE_CURSORS the settings tell of a pooler that gives "
                "each transaction another one. Use it inside atomic(), or connect to "
                "the database without the pooler by an alias of its own."
            )
            raise NotSupportedError(msg)
        self._held = wrapper.hold()

    def _exit(self) -> None:
        wrapper: Any = connections[self._using]
        wrapper.release_hold(self._held)
