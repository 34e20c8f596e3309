"""
What ``transaction.atomic`` does besides Django's own ``__enter__``/``__exit__``.

Django's code opens and ends the transaction and its savepoints. Around it, this
one waits for the turn, keeps the stack of blocks, and sees to it that the end
of a block is reached under cancellation too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from ..bridge._loops import current_hub, running_loop
from ..bridge._switch import in_bridge
from ._errands import Errand, errand_for
from ._errors import TransactionEnded, TransactionRolledBack
from ._finishing import FINISH_TIMEOUT, Finishing
from ._threads import on_loop_of
from ._transactions import Block, Transaction, current_block, step_in, step_out

logger = logging.getLogger("django_evergreen.transactions")

# Django's Atomic.__enter__ or __exit__.
Method = Callable[..., Any]
Location = tuple[str, int]


def caller(depth: int) -> Location:
    """
    Return the file and line that entered a block, past ``contextlib``.
    """
    frame = sys._getframe(depth + 1)
    while frame.f_back is not None and frame.f_code.co_filename == contextlib.__file__:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def enter(original: Method, atomic: Any, entered_at: Location | None = None) -> None:
    """
    Open a transaction, or a block inside the one this code belongs to. Without
    ``entered_at``, the caller of the caller has entered it.

    Suspends: yes. Raises :exc:`TransactionEnded`, :exc:`TransactionDeadlock`.
    """
    alias = atomic.using or DEFAULT_DB_ALIAS
    if (errand := errand_for(alias)) is not None:
        errand.call(enter, original, atomic, entered_at or caller(2))
        return
    outer = current_block(alias)
    if outer is not None and _is_ours(outer):
        _enter_inside(original, atomic, outer, entered_at or caller(2))
        return
    original(atomic)
    block = current_block(alias)
    if block is not None and block.atomic is None:
        _entered(block, atomic, entered_at or caller(2))


def _is_ours(block: Block) -> bool:
    """
    Return whether this code shall use the transaction of a block as its own.
    """
    transaction = block.transaction
    if transaction.scope is None or (running_loop() is not None and not in_bridge()):
        # Of a thread; or bare async code, which Django's own code will refuse.
        return False
    return not block.is_open or connections[transaction.alias] is transaction.wrapper


def _entered(block: Block, atomic: Any, entered_at: Location) -> None:
    wrapper = block.transaction.wrapper
    block.atomic, block.entered_at = atomic, entered_at
    block.depths = len(wrapper.atomic_blocks), len(wrapper.savepoint_ids)


def _enter_inside(
    original: Method, atomic: Any, outer: Block, entered_at: Location
) -> None:
    transaction = outer.transaction
    block = _on_loop(transaction, partial(_open_block, transaction, outer))
    step_in(block)
    try:
        original(atomic)
        _check_not_ended(block, atomic)
    except BaseException:
        _leave(block)
        raise
    _entered(block, atomic, entered_at)


def _check_not_ended(block: Block, atomic: Any) -> None:
    """
    Raise if the block was ended while its savepoint was made. What Django has noted of
    it just now is taken back.
    """
    if _was_ended(block):
        wrapper = block.transaction.wrapper
        wrapper.savepoint_ids.pop()
        if wrapper.atomic_blocks and wrapper.atomic_blocks[-1] is atomic:
            wrapper.atomic_blocks.pop()
        raise _ended_by_outer(block)


def _open_block(transaction: Transaction, outer: Block) -> Block:
    """
    Return a new block inside ``outer``, when it's the turn of that.
    """
    outer.check_usable()
    outer.turn.acquire()
    try:
        outer.check_usable()
        if transaction.is_shared:
            transaction.wrapper.wait_until_quiet()
            outer.check_usable()
    except BaseException:
        outer.turn.release()
        raise
    return transaction.enter(outer)


def _leave(block: Block) -> None:
    transaction = block.transaction
    _on_loop(transaction, partial(transaction.leave, block))
    step_out(block)


def _on_loop(transaction: Transaction, fn: Callable[[], Any]) -> Any:
    assert transaction.scope is not None
    return on_loop_of(transaction.scope.hub, fn)


def exit_(original: Method, atomic: Any, error: BaseException | None) -> Any:
    """
    End the block that was entered by ``atomic``, as Django would.

    Suspends: yes. On cancellation: goes on, for FINISH_TIMEOUT at most; the
    second one closes the connection. Raises also :exc:`TransactionRolledBack`.
    """
    alias = atomic.using or DEFAULT_DB_ALIAS
    if (errand := errand_for(alias)) is not None:
        return _exit_on_errand(errand, original, atomic, error)
    block = current_block(alias)
    if block is None or block.atomic is not atomic:
        block = _block_of_another_context(alias, atomic)
    if block is None or block.transaction.scope is None:
        return _call(original, atomic, error)
    if not block.is_open:
        step_out(block)
        if error is None:
            raise _ended_by_outer(block)
        return False
    try:
        _close(block, error)
    except BaseException as interruption:
        block.close()
        _roll_up(block)
        _end(original, block, interruption)
        raise
    # The same for a thread, which is not who has closed it.
    block.close()
    return _end(original, block, error)


def _exit_on_errand(
    errand: Errand, original: Method, atomic: Any, error: BaseException | None
) -> Any:
    try:
        errand.check_cancelled()
    except asyncio.CancelledError as cancellation:
        errand.call(exit_, original, atomic, error or cancellation)
        raise
    return errand.call(exit_, original, atomic, error)


def _call(original: Method, atomic: Any, error: BaseException | None) -> Any:
    if error is None:
        return original(atomic, None, None, None)
    return original(atomic, type(error), error, error.__traceback__)


def _block_of_another_context(alias: str, atomic: Any) -> Block | None:
    """
    Return the block that was entered by ``atomic``: in asyncSetUp(), for example.
    """
    transaction = getattr(connections[alias], "_transaction", None)
    if transaction is None or transaction.scope is None:
        # Or in a thread, whose inner blocks are Django's business.
        return None
    for block in reversed(transaction.blocks):
        if block.atomic is atomic:
            step_in(block)
            return block  # type: ignore[no-any-return]
    return None


def _close(block: Block, error: BaseException | None) -> None:
    """
    Let nothing more be sent for a block, and wait for what was sent.
    """
    transaction = block.transaction
    if not transaction.is_shared:
        block.close()
    elif error is None:
        _on_loop(transaction, partial(_close_in_turn, block))
    else:
        block.close()
        with _deadline(transaction):
            _on_loop(transaction, transaction.wrapper.wait_until_quiet)
        _roll_up(block)


def _close_in_turn(block: Block) -> None:
    # The blocks of others inside this one belong to its outcome.
    with block.turn:
        block.check_usable()
        block.is_open = False
    block.transaction.wrapper.wait_until_quiet()


@contextlib.contextmanager
def _deadline(transaction: Transaction) -> Iterator[None]:
    """
    Break off the statements of other tasks that take too long to end.
    """
    if not in_bridge():
        yield
        return
    abort = transaction.wrapper.abort_statement
    timer = current_hub().call_later(FINISH_TIMEOUT, abort)
    try:
        yield
    finally:
        timer.cancel()


def _roll_up(block: Block) -> None:
    """
    End the blocks of others inside this one, which rolls back their work.
    """
    if block.nested is not None:
        wrapper = block.transaction.wrapper
        atomics, savepoints = block.depths
        del wrapper.atomic_blocks[atomics:], wrapper.savepoint_ids[savepoints:]
        transaction = block.transaction
        _on_loop(transaction, partial(transaction.cut_short, block.nested))


def _end(original: Method, block: Block, error: BaseException | None) -> Any:
    """
    Let Django commit or roll back, whatever is cancelled meanwhile.
    """
    if _was_ended(block):
        # While it waited: Django would end the block around this one now.
        step_out(block)
        if error is None:
            raise _ended_by_outer(block)
        return False
    failure = _find_failure(block) if error is None else None
    finishing = Finishing(error)
    try:
        with finishing:
            suppressed = _call(original, block.atomic, error)
    except BaseException as interruption:
        if not isinstance(interruption, Exception) and not _was_ended(block):
            _give_up(block, interruption)
        finishing.raise_absorbed(interruption)
        if _was_ended(block):
            return _end_too_late(block, error, interruption)
        if _is_more_urgent(error, interruption):
            logger.warning("%s could not be ended properly: %s", block, interruption)
            return False
        raise
    finally:
        _tell_outer(block, error)
        _leave(block)
    finishing.raise_absorbed()
    if failure is not None:
        raise TransactionRolledBack(_describe(block, failure)) from failure
    return suppressed


def _is_more_urgent(error: BaseException | None, interruption: BaseException) -> bool:
    """
    Return whether the body's own error, a cancellation, has to be the one raised.
    """
    return (
        error is not None
        and not isinstance(error, Exception)
        and isinstance(interruption, Exception)
    )


def _was_ended(block: Block) -> bool:
    """
    Return whether the block around this one has ended it meanwhile.
    """
    return block.outer is not None and block not in block.transaction.blocks


def _end_too_late(
    block: Block, error: BaseException | None, interruption: BaseException
) -> bool:
    """
    Let the error of the body pass; if there is none, raise one.
    """
    if not isinstance(interruption, Exception):
        raise interruption
    if error is None:
        raise _ended_by_outer(block) from interruption
    return False


def _ended_by_outer(block: Block) -> TransactionEnded:
    msg = f"{block} has been ended, and rolled back, by the block around it."
    return TransactionEnded(msg[0].upper() + msg[1:])


def _tell_outer(block: Block, error: BaseException | None) -> None:
    """
    Tell the block around this one why it can't be committed any more, unless
    its own body is told by ``error``.
    """
    outer = block.outer
    if outer is not None and block.needs_rollback and not _was_ended(block):
        of_another = error if block.task is not outer.task else None
        outer.failure = outer.failure or block.failure or of_another
        outer.needs_rollback = True


def _find_failure(block: Block) -> BaseException | None:
    """
    Return why a block whose body raised nothing can't be committed, unless the
    body knows, since it was its own statement.
    """
    wrapper = block.transaction.wrapper
    if block.wants_rollback or not (block.needs_rollback or wrapper.is_aborted()):
        return None
    if block.failure is None and block.is_joined:
        failure: BaseException | None = wrapper.rollback_exc
        return failure or DatabaseError("the error of another task")
    return block.failure


def _give_up(block: Block, interruption: BaseException) -> None:
    """
    Deal with a block of which nobody knows whether its end was reached.
    """
    wrapper = block.transaction.wrapper
    if block.outer is None:
        wrapper.drop_transaction()
    else:
        wrapper.needs_rollback = True
        block.outer.failure = interruption


def _describe(block: Block, failure: BaseException) -> str:
    return (
        f"{str(block)[0].upper()}{str(block)[1:]} was rolled back, because of "
        f"{type(failure).__name__} in a statement of it that was cancelled or that "
        "another task had sent. Let the error pass the end of the block; or, where it "
        "is expected, put the statement into an atomic() block of its own and catch "
        "the error outside of that."
    )


def roll_back_abandoned(block: Block) -> None:
    """
    End the block of a task that has ended without doing it.
    """
    step_in(block)
    if block.is_open:
        error = RuntimeError(f"{block} was left open.")
        block.atomic.__exit__(type(error), error, None)
