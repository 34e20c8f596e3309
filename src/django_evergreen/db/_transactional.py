"""
What a ``DatabaseWrapper`` needs so that tasks can share its transaction.

Django keeps the state of a transaction in the wrapper. This part keeps the
stack of blocks beside it, lets statements wait for their turn, and protects
those that end a block.
"""

from __future__ import annotations

from typing import Any

from ..bridge._switch import in_bridge, release_when_idle
from . import _transactions
from ._commit_hooks import as_commit_hook
from ._finishing import is_finishing, stop_finishing
from ._ownership import OwnedWrapper


class TransactionalWrapper(OwnedWrapper):
    """
    The part of :class:`~._wrapper.ScopedWrapper` that is about transactions.
    """

    rollback_exc: BaseException | None
    run_commit_hooks_on_set_autocommit_on: bool
    run_on_commit: list[Any]

    # Outside any block.
    _needs_rollback = False

    @property
    def needs_rollback(self) -> bool:
        """
        Whether the block of the running code must be rolled back: Django's flag,
        which is about the innermost block, and so about somebody else's perhaps.
        """
        block = self._block_of_caller()
        return self._needs_rollback if block is None else block.needs_rollback

    @needs_rollback.setter
    def needs_rollback(self, value: bool) -> None:
        block = self._block_of_caller()
        if block is None:
            self._needs_rollback = value
        else:
            block.needs_rollback = value

    def _block_of_caller(self) -> _transactions.Block | None:
        transaction = self._transaction
        if transaction is None or not transaction.blocks:
            return None
        if self._scope is None:
            # A thread has only the outermost one: the others are Django's business.
            return transaction.blocks[0]
        return transaction.block_of_caller()

    # Statements.

    def validate_no_broken_transaction(self) -> None:
        transaction = self._transaction
        if transaction is None:
            # The usual case, with each statement.
            if not self._needs_rollback:
                return
        elif transaction.is_shared:
            self.take_turn(transaction)
        super().validate_no_broken_transaction()

    def take_turn(self, transaction: _transactions.Transaction) -> None:
        """
        Wait until a statement of this code may be sent. Suspends: yes.
        """
        block = transaction.block_of_caller()
        block.check_usable()
        # A thread takes its turn where its statement is sent.
        if block.is_open and in_bridge():
            block.take_turn()

    # Beginning and end.

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        if self._scope is not None:
            self.validate_thread_sharing()
            if (errand := self.errand()) is not None:
                errand.call(self.set_autocommit, autocommit, *args, **kwargs)
                return
            if autocommit and self._ends_for_another_block():
                return
            if autocommit and is_finishing() and self._is_past_ending():
                self._end_without_connection()
                return
            if not autocommit and self._transaction is None:
                self._drop_lost_lease()
        try:
            super().set_autocommit(autocommit, *args, **kwargs)
        finally:
            if self._lease is not None:
                release_when_idle(self._scope.release_idle)
        if autocommit:
            self._end_transaction()
        elif self._transaction is None and not (self.is_copy() or self.is_lent()):
            self._transaction = _transactions.Transaction(self)
            _transactions.step_in(self._transaction.enter(None))

    def _ends_for_another_block(self) -> bool:
        """
        Return whether Django's code that ends an inner block takes it for the outermost
        one, as that is being rolled back at the same time.
        """
        block = _transactions.current_block(self.alias)
        return block is not None and block.was_ended_meanwhile()

    def _commit(self) -> Any:
        errand = self.errand()
        commit = super()._commit
        return commit() if errand is None else errand.call(commit)

    def _rollback(self) -> Any:
        errand = self.errand()
        rollback = super()._rollback
        return rollback() if errand is None else errand.call(rollback)

    def _drop_lost_lease(self) -> None:
        """
        Let a transaction begin on another connection if the statement before it has
        lost this one.
        """
        if self._lease is not None and self.is_lost():
            self.drop_lease()

    def _is_past_ending(self) -> bool:
        """
        Return whether the connection can't serve on after the end of a block: it was
        lost, or a cancellation came before COMMIT or ROLLBACK was sent, while that
        waited for the statement of another task.
        """
        return self.is_lost() or self.is_in_transaction()

    def _end_without_connection(self) -> None:
        """
        End a block. Django would open another connection only for this, or fail, and
        hide the error that ended the block.
        """
        # Else it was lost only after the COMMIT.
        hooks = self.run_on_commit if self.run_commit_hooks_on_set_autocommit_on else []
        self.drop_transaction()
        if hooks:
            self.run_on_commit = hooks
            self.run_and_clear_commit_hooks()

    def get_autocommit(self) -> bool:
        if (
            self._scope is not None
            and self.connection is None
            and self._transaction is None
        ):
            # No need to connect for what the settings tell.
            return bool(self.settings_dict["AUTOCOMMIT"])
        return bool(super().get_autocommit())

    def on_commit(self, func: Any, robust: bool = False) -> None:
        block = self._block_that_commits()
        super().on_commit(as_commit_hook(func), robust)
        if block is not None and self.run_on_commit:
            # Blocks of others inside this one don't decide about it.
            _, *rest = self.run_on_commit[-1]
            savepoints = set(self.savepoint_ids[: block.depths[1]])
            self.run_on_commit[-1] = (savepoints, *rest)

    def _block_that_commits(self) -> _transactions.Block | None:
        if self._transaction is None:
            if not self.is_copy():
                _transactions.check_outside(self.alias, self._scope)
            return None
        if not self._transaction.is_shared:
            return None
        block = self._transaction.block_of_caller()
        block.check_usable()
        return block

    def set_rollback(self, rollback: bool) -> None:
        transaction = self._transaction
        if transaction is not None:
            if transaction.is_shared:
                self.take_turn(transaction)
            # Who asks for it is not to be told about it.
            transaction.block_of_caller().wants_rollback = rollback
        super().set_rollback(rollback)

    def run_and_clear_commit_hooks(self) -> None:
        # What they do is outside the transaction, and can be cancelled.
        stop_finishing()
        self._end_transaction()
        super().run_and_clear_commit_hooks()

    def _end_transaction(self) -> None:
        if self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            transaction.end()

    def drop_transaction(self) -> None:
        """
        Close the connection, and forget the transaction. Suspends: no.
        """
        is_shared = self._transaction is not None and self._transaction.is_shared
        self._end_transaction()
        self._reset_transaction_state()
        self.drop_lease()
        if is_shared:
            # Others may still be in the middle of Django's code with it.
            self._scope.retire(self)

    def statement_was_interrupted(self, error: BaseException) -> None:
        """
        Note that a statement was cancelled, after which nobody knows which of its
        work is left.
        """
        block = self._block_of_caller()
        if block is not None:
            block.failure = error
        if self.in_atomic_block:
            self.needs_rollback = True
            self.rollback_exc = error
