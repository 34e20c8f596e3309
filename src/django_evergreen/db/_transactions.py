"""
Whose transaction is open where a task or a thread was started.

A contextvar marks the open transaction of each alias. Tasks and threads that
are started inside it inherit the mark with their context, and so can tell that
they are inside a transaction they don't own.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ._errors import TransactionNotOwned

if TYPE_CHECKING:
    from ._scopes import Scope


class Mark:
    """
    One open transaction.
    """

    __slots__ = ("alias", "is_open", "scope")

    def __init__(self, alias: str, scope: Scope | None) -> None:
        self.alias = alias
        # None: the transaction of a thread.
        self.scope = scope
        self.is_open = True


_marks: dict[str, ContextVar[Mark | None]] = {}


def _mark_of(alias: str) -> ContextVar[Mark | None]:
    try:
        return _marks[alias]
    except KeyError:
        name = f"django_evergreen_transaction_{alias}"
        return _marks.setdefault(alias, ContextVar(name, default=None))


def begin(alias: str, scope: Scope | None) -> Mark:
    mark = Mark(alias, scope)
    _mark_of(alias).set(mark)
    return mark


def end(mark: Mark) -> None:
    mark.is_open = False
    # Forgotten only by the context that opened it: tasks that were started
    # inside keep theirs.
    variable = _mark_of(mark.alias)
    if variable.get() is mark:
        variable.set(None)


def is_outside(alias: str) -> bool:
    """
    Return whether this code was started outside any transaction.
    """
    variable = _marks.get(alias)
    return variable is None or variable.get() is None


def check_ownership(alias: str, scope: Scope | None) -> None:
    """
    Raise if this code was started inside another's open transaction.
    """
    variable = _marks.get(alias)
    mark = None if variable is None else variable.get()
    # Two threads, none of them a task: stock Django, which doesn't mind.
    if mark is None or not mark.is_open or mark.scope is scope:
        return
    who = "This thread" if scope is None else f"The task {_name(scope.task)}"
    owner = "a thread" if mark.scope is None else f"the task {_name(mark.scope.task)}"
    msg = (
        f"{who} was started inside a transaction on {alias!r} that {owner} has open. "
        "It can't use that transaction, and must not query outside it unnoticed. "
        "Query in the task that opened the transaction, or start this one before it."
    )
    raise TransactionNotOwned(msg)


def _name(task: Any) -> str:
    return repr(task.get_name())
