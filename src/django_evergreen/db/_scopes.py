"""
Which connections belong to the running code.

A scope is one line of database work. With an event loop running it is the
task: each task has wrappers (``DatabaseWrapper`` objects) of its own. With none
it is the thread, whose wrappers are kept by Django as ever.
"""

from __future__ import annotations

import logging
from collections import deque
from contextvars import ContextVar
from typing import Any

from django.db import OperationalError

from ..bridge._loops import Hub, current_hub, current_task, running_loop
from ..bridge._switch import run_sync
from . import _transactions
from ._admission import admit
from ._atomic import roll_back_abandoned
from ._cursors import restore_and_give_back
from ._engines import forbid_in_tasks
from ._errands import errand_for
from ._wrapper import ScopedWrapper

logger = logging.getLogger("django_evergreen.scopes")

_scopes: dict[Any, Scope] = {}

# The scope of the task that started this one, whose instrumentation it inherits.
_parent: ContextVar[Scope | None] = ContextVar("django_evergreen_scope", default=None)

# Of databases with an engine that isn't this package's: the wrappers that all tasks
# share in a test. They block.
shared_wrappers: dict[str, Any] = {}

# How many wrappers of finished tasks are kept for each loop and alias: making
# one builds half a dozen objects.
MAX_SPARE_WRAPPERS = 64


def current_scope() -> Scope | None:
    """
    Return the scope of the running task; None where no task runs.
    """
    if running_loop() is None:
        return None
    task = current_task()
    if task is None:
        return None
    scope = _scopes.get(task)
    if scope is None:
        admit()
        scope = _scopes[task] = Scope(task, current_hub())
        task.add_done_callback(_end_scope)
    return scope


def _end_scope(task: Any) -> None:
    scope = _scopes.pop(task, None)
    while scope is not None:
        scope.end()
        scope = scope.outer


def forsake_scope(task: Any) -> None:
    """
    Take back the connections of a task that will not be resumed.
    """
    scope = _scopes.get(task)
    while scope is not None:
        for wrapper in scope.wrappers.values():
            if isinstance(wrapper, ScopedWrapper) and wrapper._scope is scope:
                wrapper.drop_lease()
        scope = scope.outer
    _end_scope(task)


def replace_scope(scope: Scope) -> None:
    """
    Make ``scope`` that of its task.
    """
    _scopes[scope.task] = scope


class Scope:
    """
    The wrappers of one task, or of a part of it.
    """

    __slots__ = (
        "_parent",
        "held",
        "hub",
        "leased",
        "outer",
        "release_idle",
        "task",
        "wrappers",
    )

    def __init__(self, task: Any, hub: Hub, outer: Scope | None = None) -> None:
        self.task = task
        # The one it stands in for; see new_connections().
        self.outer = outer
        self.hub = hub
        self.wrappers: dict[str, Any] = {}
        # How often hold_connection() was entered for an alias.
        self.held: dict[str, int] = {}
        # Those of them that have a connection.
        self.leased: list[ScopedWrapper] = []
        self._parent = _parent.get()
        _parent.set(self)
        # Bound once, as it's handed to the bridge with every statement.
        self.release_idle = self._release_idle

    def __repr__(self) -> str:
        return f"the task {self.task.get_name()!r}"

    def __str__(self) -> str:
        return str(self.task.get_name())

    def adopt(self, alias: str, wrapper: Any) -> None:
        """
        Make a wrapper this scope's own.
        """
        self.wrappers[alias] = wrapper
        wrapper._scope = self
        if not isinstance(wrapper, ScopedWrapper):
            forbid_in_tasks(wrapper)
            return
        parent = self._parent.wrappers.get(alias) if self._parent else None
        if parent is not None:
            wrapper.inherit_instrumentation(parent)

    def retire(self, wrapper: ScopedWrapper) -> None:
        """
        Have another wrapper made when one is needed.
        """
        if self.wrappers.get(wrapper.alias) is wrapper:
            del self.wrappers[wrapper.alias]

    def check_session(self, alias: str) -> None:
        """
        Raise if a session is held, and so must not be replaced by another one.
        """
        if self.held.get(alias):
            msg = (
                f"The connection to {alias!r} that hold_connection() kept was lost, "
                "and with it the state of its session. Leave the block, and begin anew."
            )
            raise OperationalError(msg)

    def _release_idle(self) -> None:
        for wrapper in tuple(self.leased):
            wrapper.release_if_idle()

    def admits(self, connection: Any) -> bool:
        """
        Return whether other code may use a connection of this scope: it must
        belong to the transaction on that connection. Raises
        :exc:`TransactionEnded` if it did.
        """
        for wrapper in self.leased:
            if wrapper.connection is connection:
                block = _transactions.current_block(wrapper.alias)
                if block is None or block.transaction.scope is not self:
                    return False
                if block not in block.transaction.blocks:
                    block.check_usable()
                return block.transaction is wrapper._transaction
        return False

    def interrupted(self, connection: Any, error: BaseException) -> None:
        """
        Note that a statement on one of its connections was cancelled.
        """
        for wrapper in self.leased:
            if wrapper.connection is connection:
                wrapper.statement_was_interrupted(error)

    def end(self) -> None:
        """
        Give everything back, when the task has ended.
        """
        for alias, wrapper in self.wrappers.items():
            if not isinstance(wrapper, ScopedWrapper):
                continue
            if wrapper._scope is not self:
                self._leave_joined(wrapper)
                continue
            if wrapper._lease is not None:
                self._abandon(wrapper)
            wrapper.drop_lease()
            wrapper.forget_scope()
            if not wrapper.was_joined:
                spare_wrappers(self.hub, alias).append(wrapper)
        self.wrappers.clear()
        self._parent = None

    def _leave_joined(self, wrapper: ScopedWrapper) -> None:
        """
        Roll back what the task has left open in a transaction it had joined.
        """
        transaction = wrapper._transaction
        for block in transaction.blocks if transaction else ():
            if block.task is self.task and not self.hub.is_closed():
                self.hub.spawn(run_sync(roll_back_abandoned, block))
                return

    def _abandon(self, wrapper: ScopedWrapper) -> None:
        """
        Roll back the task's own transaction, and close its cursors.
        """
        logger.warning(
            "The task %r ended with %s on %r, which was rolled back.",
            self.task.get_name(),
            wrapper.describe_hold(),
            wrapper.alias,
        )
        if not self.hub.is_closed() and wrapper.can_be_restored():
            wrapper._end_transaction()
            restore_and_give_back(wrapper, wrapper.surrender())


def _forget_scopes(hub: Hub) -> None:
    """
    End the scopes of tasks that will not end: their loop was closed under them.
    """
    for task, scope in list(_scopes.items()):
        if scope.hub is hub and hub.is_closed():
            _end_scope(task)


def spare_wrappers(hub: Hub, alias: str) -> deque[Any]:
    spares: dict[str, deque[Any]] | None = getattr(hub, "spare_wrappers", None)
    if spares is None:
        spares = hub.spare_wrappers = {}  # type: ignore[attr-defined]
        hub.on_close(lambda: _forget_scopes(hub))
    if alias not in spares:
        spares[alias] = deque(maxlen=MAX_SPARE_WRAPPERS)
    return spares[alias]


class ScopedStorage:
    """
    Takes the place of the storage of ``django.db.connections``: attributes are
    aliases, values are the wrappers of the current scope.
    """

    def __init__(self, of_threads: Any) -> None:
        object.__setattr__(self, "of_threads", of_threads)

    def __getattr__(self, alias: str) -> Any:
        scope = None
        # The first look is for threads, which shall not pay for tasks.
        if running_loop() is not None:
            scope = _scopes.get(current_task())
            if scope is not None:
                # The usual case, several times in each query.
                wrapper = scope.wrappers.get(alias)
                if wrapper is not None and wrapper._scope is scope:
                    return wrapper
            scope = scope or current_scope()
        if scope is None and (errand := errand_for(alias)) is not None:
            scope = errand.scope
        if scope is not None:
            return self._find(scope, alias)
        if not _transactions.is_inside_any():
            return getattr(self.of_threads, alias)
        block = _transactions.joinable(alias, None)
        if block is not None:
            return _transactions.join(block)
        return getattr(self.of_threads, alias)

    def _find(self, scope: Scope, alias: str) -> Any:
        wrapper = scope.wrappers.get(alias)
        if wrapper is not None:
            if wrapper._scope is scope or not _has_ended(scope, alias):
                return wrapper
            # Joined to a transaction which this task must not use any more.
            del scope.wrappers[alias]
        if alias in shared_wrappers:
            return shared_wrappers[alias]
        block = _transactions.joinable(alias, scope)
        if block is not None:
            wrapper = scope.wrappers[alias] = _transactions.join(block)
            return wrapper
        try:
            wrapper = spare_wrappers(scope.hub, alias).pop()
        except IndexError:
            raise AttributeError(alias) from None
        scope.adopt(alias, wrapper)
        return wrapper

    def __setattr__(self, alias: str, wrapper: Any) -> None:
        scope = _scope_for(alias)
        if scope is None:
            setattr(self.of_threads, alias, wrapper)
        else:
            scope.adopt(alias, wrapper)

    def __delattr__(self, alias: str) -> None:
        scope = _scope_for(alias)
        if scope is None:
            delattr(self.of_threads, alias)
        elif scope.wrappers.pop(alias, None) is None:
            raise AttributeError(alias)


def _scope_for(alias: str) -> Scope | None:
    """
    Return the scope whose connection to a database this code uses.
    """
    errand = errand_for(alias)
    return current_scope() if errand is None else errand.scope


def _has_ended(scope: Scope, alias: str) -> bool:
    wrapper = scope.wrappers[alias]
    # Not a ScopedWrapper: a task's own, with an engine that isn't this package's.
    return isinstance(wrapper, ScopedWrapper) and (
        _transactions.joinable(alias, scope) is None
    )
