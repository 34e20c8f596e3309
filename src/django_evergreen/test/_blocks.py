"""
Transactions, and blocks inside a test's own, that nobody is left to end: of a body
that was broken off, of a thread that was left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..bridge import run_sync
from ..db._atomic import roll_back_abandoned
from ..db._scopes import _scopes
from ..db._transactions import Block
from ._owners import Owner


def left_blocks(engine: Any, owner: Owner) -> Iterator[tuple[Any, Block]]:
    """
    Yield the outermost of them for each alias, with its wrapper. Quick. Runs in: the
    engine's task.
    """
    scope = _scopes.get(engine.task)
    if scope is None:
        # It has never queried, and must not begin to when the owner is over.
        return
    for alias, wrapper in scope.wrappers.items():
        transaction = getattr(wrapper, "_transaction", None)
        if transaction is None or not transaction.blocks:
            continue
        own = owner.blocks.get(alias)
        if transaction.blocks[-1] is own:
            continue
        for block in transaction.blocks:
            if _is_inside(block, own) and _is_left(block, engine.task):
                yield wrapper, block
                break


def _is_inside(block: Block, own: Block | None) -> bool:
    outer = block.outer
    while outer is not own and outer is not None:
        outer = outer.outer
    return outer is own


def _is_left(block: Block, task: Any) -> bool:
    # A thread enters a block by a task of the loop, which is done then.
    return block.task is task or not hasattr(block.task, "done") or block.task.done()


async def roll_back_left_blocks(engine: Any, owner: Owner) -> None:
    for wrapper, outermost in list(left_blocks(engine, owner)):
        blocks = outermost.transaction.blocks
        for block in reversed(blocks[blocks.index(outermost) :]):
            if block.atomic is None:
                # By set_autocommit().
                await run_sync(wrapper.drop_transaction)
            else:
                await run_sync(roll_back_abandoned, block)
