"""
The blocks of a transaction, and which of them this code belongs to.

Every ``atomic()`` is a block. A contextvar holds the innermost block of each
alias; tasks and threads that are started inside inherit it with their context,
and so belong to that block as long as it is open.

Guarantees:

- The open blocks of a transaction are a stack. A statement belongs to a block,
  and is sent only while that block is the top of the stack: whoever comes
  meanwhile waits for his turn, in the order of coming.
- A block that has ended never opens again. Code that belongs to it can't
  query any more, neither in the surrounding transaction nor outside it.

Does no I/O. Only :class:`Turn` waits.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..bridge._loops import current_task, running_loop
from ._errors import TransactionEnded, TransactionNotOwned
from ._turns import Turn

if TYPE_CHECKING:
    from ._scopes import Scope

# The innermost block of each alias, open or ended. The mappings aren't mutated.
_blocks: ContextVar[Mapping[str, Block]] = ContextVar(
    "django_evergreen_blocks",
    default={},  # noqa: B039
)


class Transaction:
    """
    An open transaction: its wrapper, and the stack of its blocks.
    """

    __slots__ = ("alias", "blocks", "is_shared", "scope", "wrapper")

    def __init__(self, wrapper: Any) -> None:
        self.wrapper = wrapper
        self.alias: str = wrapper.alias
        # Whose it is. None: a thread's, which is stock Django's business.
        self.scope: Scope | None = wrapper._scope
        # Tasks or threads have joined it, so that turns must be taken.
        self.is_shared = False
        self.blocks: list[Block] = []

    def enter(self, outer: Block | None) -> Block:
        """
        Open a block on top of the stack. The caller has the turn of ``outer``.
        """
        block = Block(self, outer)
        if outer is not None:
            outer.nested = block
        self.blocks.append(block)
        return block

    def cut_short(self, block: Block) -> None:
        """
        End a block of somebody else, who learns it from his next statement.
        """
        block.is_cut_short = True
        self.leave(block)

    def leave(self, block: Block) -> None:
        """
        End a block, and those inside it; do nothing if it has been left. Runs
        in: the thread of the event loop.
        """
        if block not in self.blocks:
            return
        ended = self.blocks[self.blocks.index(block) :]
        del self.blocks[-len(ended) :]
        for inner in reversed(ended):
            inner.is_open = False
            inner.is_cut_short |= inner is not block
            if inner.outer is not None:
                # Who waits for the turn goes on, or finds that the block ended.
                inner.outer.nested = None
                inner.outer.turn.release()

    def end(self) -> None:
        if self.blocks:
            root = self.blocks[0]
            if self.scope is None:
                # A thread's only one.
                self.blocks.clear()
                root.is_open = False
            else:
                self.leave(root)
            step_out(root)

    def block_of_caller(self) -> Block:
        """
        Return the block to which the running code belongs.
        """
        block = current_block(self.alias)
        if block is not None and block.transaction is self:
            return block
        # Its own task, in another context than that of __enter__().
        mine = [block for block in self.blocks if block.task is task_or_thread()]
        return (mine or self.blocks)[-1]


class Block:
    """
    One ``atomic()`` block, or the time between two ``set_autocommit()``.
    """

    # What hardly any block has differently is set on the class: threads make blocks,
    # too, and shall not pay for tasks.

    # Whether statements of this block may still be sent.
    is_open = True
    # Whether it was ended by the block around it.
    is_cut_short = False
    # Who is about to end it, and may still send statements then.
    ender: Any = None
    # Whether other tasks or threads belong to it.
    is_joined = False
    # The open block inside it, and the lock held by that.
    nested: Block | None = None
    _turn: Turn | None = None
    # Django's object, and the file and line where it was entered.
    atomic: Any = None
    entered_at: tuple[str, int] | None = None
    # The lengths of Django's stacks just inside this block.
    depths = (0, 0)
    # Django's flag: it can't be committed.
    needs_rollback = False
    # What made it impossible to commit, if it was not the block's own body.
    failure: BaseException | None = None
    # Whether set_rollback(True) was called in it.
    wants_rollback = False
    # The block of a test inside this one, of its class: what the class has started
    # belongs to each test in turn.
    stand_in: Block | None = None

    def __init__(self, transaction: Transaction, outer: Block | None) -> None:
        self.transaction = transaction
        self.outer = outer
        self.task = task_or_thread()
        if outer is not None:
            # What is wrong with that is wrong with this one.
            self.needs_rollback = outer.needs_rollback

    @property
    def turn(self) -> Turn:
        if self._turn is None:
            self._turn = Turn(self)
        return self._turn

    def __str__(self) -> str:
        if self.entered_at is None:
            where = "set_autocommit(False)"
        else:
            filename, line = self.entered_at
            where = f"the atomic() block entered at {filename}:{line}"
        alias = self.transaction.alias
        return f"{where} by {name_of(self.task)} on {alias!r}"

    def take_turn(self) -> None:
        """
        Wait until this block is the top of the stack. Suspends: yes.
        """
        with self.turn:
            self.check_usable()

    def close(self) -> None:
        """
        Let nobody but the caller send statements of this block from now on.
        """
        self.ender = task_or_thread()
        self.is_open = False

    def is_usable(self) -> bool:
        """
        Return whether the running code may send statements of this block.
        """
        return self.is_open or (
            not self.is_cut_short and self.ender is task_or_thread()
        )

    def was_ended_meanwhile(self) -> bool:
        """
        Return whether the running code, which is about to end it, comes too late: the
        block around it has ended it.
        """
        return self.is_cut_short and self.ender is task_or_thread()

    def check_usable(self) -> None:
        """
        Raise :exc:`TransactionEnded` if the running code may not use it.
        """
        if not self.is_usable():
            raise TransactionEnded(_ended_message(self))


def task_or_thread() -> Any:
    task = None if running_loop() is None else current_task()
    return task or threading.current_thread()


def name_of(task: Any) -> str:
    """
    Return how to call a task or a thread in an error message.
    """
    if isinstance(task, threading.Thread):
        return f"the thread {task.name!r}"
    return f"the task {task.get_name()!r}"


def current_block(alias: str) -> Block | None:
    """
    Return the block to which this code belongs, open or ended.
    """
    block = _blocks.get().get(alias)
    if block is not None and block.stand_in is not None:
        return block.stand_in
    return block


# Returns a mapping which is false for code that is in no block at all.
is_inside_any = _blocks.get


def is_outside(alias: str) -> bool:
    """
    Return whether this code belongs to no block, not even to an ended one.
    """
    return alias not in _blocks.get()


def is_in_test() -> bool:
    """
    Return whether this code belongs to a test that is rolled back.
    """
    return any(
        block.transaction.blocks and block.transaction.blocks[0].stand_in is not None
        for block in _blocks.get().values()
    )


def swap_blocks(blocks: Mapping[str, Block]) -> Mapping[str, Block]:
    """
    Belong to other blocks from now on, and return the former ones.
    """
    former = _blocks.get()
    _blocks.set(blocks)
    return former


def _set_block(alias: str, block: Block | None) -> None:
    blocks = dict(_blocks.get())
    if block is None:
        blocks.pop(alias, None)
    else:
        blocks[alias] = block
    _blocks.set(blocks)


def step_in(block: Block) -> None:
    """
    Belong to a block from now on.
    """
    _set_block(block.transaction.alias, block)


def step_out(block: Block) -> None:
    """
    Belong to the block around one that has ended, unless that was done before.
    """
    if current_block(block.transaction.alias) is block:
        _set_block(block.transaction.alias, block.outer)


def joinable(alias: str, scope: Scope | None) -> Block | None:
    """
    Return the open block of another scope that this code can join.
    """
    block = current_block(alias)
    if block is None:
        return None
    owner = block.transaction.scope
    if owner is None or owner is scope or not block.is_usable():
        return None
    # A connection can't leave its loop.
    return block if scope is None or scope.hub is owner.hub else None


def join(block: Block) -> Any:
    """
    Return the wrapper of a block's transaction, for code that was started in it.
    """
    transaction = block.transaction
    wrapper = transaction.wrapper
    transaction.is_shared = block.is_joined = wrapper.was_joined = True
    return wrapper


def check_outside(alias: str, scope: Scope | None) -> None:
    """
    Raise if this code may not query by a connection of ``scope``, because it
    was started inside a transaction of another one.
    """
    block = current_block(alias)
    if block is None:
        return
    owner = block.transaction.scope
    # Two threads, none of them a task: stock Django, which doesn't mind.
    if owner is scope and (block.is_open or owner is None):
        return
    is_mine = block.task is task_or_thread() and not block.is_cut_short
    if is_mine and not block.is_open:
        # Left in another context than the one it was entered in.
        _set_block(alias, None)
        return
    block.check_usable()
    msg = (
        f"{_subject()} was started inside {block}, and can't use that transaction from "
        "here. It must not query outside it unnoticed. Query where the transaction was "
        "opened, or in a block of `async with new_connections():`."
    )
    raise TransactionNotOwned(msg)


def _subject() -> str:
    name = name_of(task_or_thread())
    return name[0].upper() + name[1:]


def _ended_message(block: Block) -> str:
    return (
        f"{_subject()} was started inside {block}, and that block has ended or is "
        "about to. This statement was not sent. Await what you start inside the block "
        "before its end; or, to query outside the transaction, do it in a block of "
        "`async with new_connections():`."
    )
