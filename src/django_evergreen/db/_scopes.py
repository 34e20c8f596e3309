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

from ..bridge._loops import Hub, current_hub, current_task, running_loop
from ._engines import forbid_in_tasks
from ._wrapper import ScopedWrapper

logger = logging.getLogger("django_evergreen.scopes")

_scopes: dict[Any, Scope] = {}

# The scope of the task that started this one, whose instrumentation it inherits.
_parent: ContextVar[Scope | None] = ContextVar("django_evergreen_scope", default=None)

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
        scope = _scopes[task] = Scope(task, current_hub())
        task.add_done_callback(_end_scope)
    return scope


def _end_scope(task: Any) -> None:
    scope = _scopes.pop(task, None)
    if scope is not None:
        scope.end()


class Scope:
    """
    The wrappers of one task.
    """

    __slots__ = ("_parent", "hub", "leased", "release_idle", "task", "wrappers")

    def __init__(self, task: Any, hub: Hub) -> None:
        self.task = task
        self.hub = hub
        self.wrappers: dict[str, Any] = {}
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
        if not isinstance(wrapper, ScopedWrapper):
            forbid_in_tasks(wrapper)
            return
        wrapper._scope = self
        parent = self._parent.wrappers.get(alias) if self._parent else None
        if parent is not None:
            wrapper.inherit_instrumentation(parent)

    def _release_idle(self) -> None:
        for wrapper in tuple(self.leased):
            wrapper.release_if_idle()

    def end(self) -> None:
        """
        Give everything back, when the task has ended.
        """
        for alias, wrapper in self.wrappers.items():
            if not isinstance(wrapper, ScopedWrapper):
                continue
            if wrapper._lease is not None:
                logger.warning(
                    "The task %r ended with %s on %r. Its connection was closed.",
                    self.task.get_name(),
                    wrapper.describe_hold(),
                    alias,
                )
            wrapper.drop_lease()
            spare_wrappers(self.hub, alias).append(wrapper.recycled())
        self.wrappers.clear()
        self._parent = None


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
        # The first look is for threads, which shall not pay for tasks.
        scope = None if running_loop() is None else current_scope()
        if scope is None:
            return getattr(self.of_threads, alias)
        try:
            return scope.wrappers[alias]
        except KeyError:
            spares = spare_wrappers(scope.hub, alias)
            if spares:
                scope.adopt(alias, wrapper := spares.pop())
                return wrapper
            raise AttributeError(alias) from None

    def __setattr__(self, alias: str, wrapper: Any) -> None:
        scope = current_scope()
        if scope is None:
            setattr(self.of_threads, alias, wrapper)
        else:
            scope.adopt(alias, wrapper)

    def __delattr__(self, alias: str) -> None:
        scope = current_scope()
        if scope is None:
            delattr(self.of_threads, alias)
        elif scope.wrappers.pop(alias, None) is None:
            raise AttributeError(alias)
