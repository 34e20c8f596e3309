"""
Who may use a ``DatabaseWrapper``: its task, threads it's lent to, who copied it.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import DatabaseError, connections

from ..bridge._loops import current_task, running_loop
from . import _transactions
from ._errands import Errand, current_errand
from ._hooks import BackendHooks, ConnectionState
from ._pool import Pooled


class OwnedWrapper(BackendHooks):
    """
    The part of :class:`~._wrapper.ScopedWrapper` that is about its owner.
    """

    alias: str
    # The scope that owns this wrapper. None: not a task's.
    _scope: Any = None
    # The pooled connection that is attached.
    _lease: Pooled | None = None
    # None while nothing is attached.
    connection: Any
    # A connection for the pool is being opened.
    is_opening = False
    # The open transaction.
    _transaction: _transactions.Transaction | None = None
    # Other tasks have joined one of its transactions, and may still be in the middle of
    # Django's code with it when its own task has ended.
    was_joined = False
    # Django's, after inc_thread_sharing().
    allow_thread_sharing: bool

    def is_copy(self) -> bool:
        """
        Return whether it's in no ``connections``: somebody has made it for himself,
        so no other code can mean it.
        """
        if self._scope is not None:
            return False
        of_threads = getattr(connections._connections, "of_threads", None)
        return getattr(of_threads, self.alias, None) is not self

    def errand(self) -> Errand | None:
        """
        Return the errand on which this thread uses the wrapper, if it is on one.
        """
        errand = current_errand()
        if errand is None or self._scope is None or running_loop() is not None:
            return None
        block = _transactions.current_block(self.alias)
        is_joined = block is not None and block.transaction.wrapper is self
        return errand if is_joined or errand.scope is self._scope else None

    def is_lent(self) -> bool:
        """
        Return whether a task has allowed this thread to use its wrapper.

        The thread has a connection of its own for that, which blocks: the one of
        the task can't leave the loop, in whose transaction the thread is not. So it's
        lent only while the task does nothing with it.
        """
        return (
            running_loop() is None
            and self.allow_thread_sharing
            and self._transaction is None
            and not self._is_working()
        )

    def _is_working(self) -> bool:
        lease = self._lease
        if lease is None or lease.pins > 0:
            return self.is_opening or lease is not None
        return self.connection_state(lease.connection) is ConnectionState.IN_USE

    def validate_thread_sharing(self) -> None:
        scope = self._scope
        if scope is None:
            super().validate_thread_sharing()
        elif running_loop() is None or current_task() is not scope.task:
            self._validate_sharing()

    def _validate_sharing(self) -> None:
        block = _transactions.current_block(self.alias)
        if block is not None and block.transaction.wrapper is self:
            block.check_usable()
            return
        if self.errand() is not None or self.is_lent():
            return
        msg = (
            f"The connection {self.alias!r} of {self._scope!r} can be used only by "
            f"that task. Don't keep it: ask `connections[{self.alias!r}]` where you "
            "need it."
        )
        if self.allow_thread_sharing:
            msg += (
                " inc_thread_sharing() lets threads use it only while its task is "
                "neither in a transaction nor in the middle of a query."
            )
        raise DatabaseError(msg)

    def _refuse_late(self) -> NoReturn:
        """
        Refuse a connection for a transaction whose task has ended, while another one
        that belonged to it waited for that.
        """
        self._validate_sharing()
        msg = f"The task that had the connection {self.alias!r} has ended."
        raise DatabaseError(msg)

    def _is_in_no_other_block(self) -> bool:
        """
        Return whether a thread is in no transaction, in its own one on this wrapper,
        or has made the wrapper himself.
        """
        block = _transactions.current_block(self.alias)
        return block is None or block.transaction is self._transaction or self.is_copy()
