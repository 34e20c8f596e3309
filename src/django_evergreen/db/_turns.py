"""
Who may use a transaction now: code of an outer block waits until the inner one
has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..bridge._lock import BridgeLock
from ..bridge._loops import Waiter, current_hub, current_task
from ..bridge._switch import suspend
from ..bridge._wait_graph import needs
from ._errors import PoolTimeout, TransactionDeadlock

if TYPE_CHECKING:
    from ._transactions import Block

# Seconds until a wait looks whether it can end at all, for the first time and
# at the most: the other task may begin to wait for this one later.
LOOK_FIRST, LOOK_LAST = 0.02, 1.0

# The turns for which somebody waits.
_contended: set[Turn] = set()


class Turn(BridgeLock):
    """
    The lock of a block, held by the block inside it as long as that is open.

    Waiting for it is bounded by ``OPTIONS["pool"]["timeout"]``, as the wait for
    a connection is. A wait that can never end raises at once.
    """

    __slots__ = ("block", "tasks")

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block
        # Those that wait.
        self.tasks: list[Any] = []

    def _suspend(self, waiter: Waiter) -> None:
        task = current_task()
        self.tasks.append(task)
        _contended.add(self)
        watch = _Watch(self, waiter, task)
        try:
            watch.check()
            suspend(waiter)
        finally:
            watch.cancel()
            self.tasks.remove(task)
            if not self.tasks:
                _contended.discard(self)

    def holder(self) -> Any:
        """
        Return the task or thread that has the turn.
        """
        nested = self.block.nested
        return None if nested is None else nested.task


class _Watch:
    """
    Ends a wait for a turn that can't end, or has taken too long.
    """

    def __init__(self, turn: Turn, waiter: Waiter, task: Any) -> None:
        self._turn, self._waiter, self._task = turn, waiter, task
        self._timeout = turn.block.transaction.wrapper.pool_options().timeout
        self._deadline = monotonic() + self._timeout
        self._hub = current_hub()
        self._patience = LOOK_FIRST
        self._timer = self._hub.call_later(self._patience, self._look)

    def check(self) -> None:
        """
        Raise if the wait is hopeless.
        """
        holder = self._turn.holder()
        if holder is not None and needs(holder, self._task, _held_up_by):
            raise TransactionDeadlock(self._describe("and that one waits for it"))
        if monotonic() >= self._deadline:
            raise PoolTimeout(self._describe(f"already for {self._timeout:g} s"))

    def _look(self) -> None:
        if self._waiter.done():
            return
        try:
            self.check()
        except Exception as error:
            self._waiter.set_exception(error)
            return
        self._patience = min(2 * self._patience, LOOK_LAST)
        self._timer = self._hub.call_later(self._patience, self._look)

    def cancel(self) -> None:
        self._timer.cancel()

    def _describe(self, how: str) -> str:
        block = self._turn.block
        return (
            f"The task {self._task.get_name()!r} belongs to {block}. It waits for the "
            f"end of {block.nested or 'another block'}, which is inside the same "
            f"block, {how}. Don't await a task inside an atomic() block that was "
            "started outside of it: start it inside, or await it after the block; or "
            "give it connections of its own by `async with new_connections():`."
        )


def _held_up_by(task: Any) -> Iterator[Any]:
    """
    Return the tasks that wait for a block which ``task`` has open.
    """
    for turn in _contended:
        if turn.holder() is task:
            yield from turn.tasks
