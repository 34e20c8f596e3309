"""
What a program is given: dice, orders, blocks, and tasks that are watched.
"""

from __future__ import annotations

import asyncio
import functools

from ._block import Block
from ._expected import Sabotage
from ._ledger import Order


class Teller:
    """
    One run of one program.
    """

    def __init__(self, world, dice, program, name):
        self.world = world
        self.dice = dice
        self.program = program
        self.name = name
        self._drawn = 0

    @property
    def is_postgresql(self):
        return self.world.is_postgresql

    def order(self, other=None):
        """
        Draw a transfer, with other accounts than ``other``. It's not made by that.
        """
        self._drawn += 1
        taken = {other.source, other.target} if other else set()
        free = [pk for pk in self.world.accounts if pk not in taken]
        source, target = self.dice.sample(free, 2)
        order = Order(
            f"{self.name}.{self._drawn}", source, target, self.dice.randint(1, 50)
        )
        self.world.book.open(order, self.program.__name__)
        return order

    def block(self, *orders, **options):
        return Block(self.world.book, *orders, **options)

    def sabotage(self, probability=0.2):
        """
        Raise the program error, or don't.
        """
        if self.dice.happens(probability):
            raise Sabotage(self.name)

    async def pause(self):
        """
        Wait for nothing, for some turns of the loop or for some milliseconds.
        """
        if self.dice.happens(0.5):
            for _ in range(self.dice.randrange(4)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.dice.random() * 0.01)

    def start(self, fn, *args):
        """
        Start a task of the program. It may outlive it, but not for long.
        """
        task = asyncio.create_task(
            self._watched(fn, args), name=f"{self.name} {fn.__name__}"
        )
        self.world.remember(task)
        return task

    async def _watched(self, fn, args):
        try:
            return await fn(*args)
        except BaseException as error:
            self._check(error, "a task")
            raise

    def watched(self, fn):
        """
        Wrap a function for a thread, whose error may never reach anybody.
        """

        @functools.wraps(fn)
        def watched(*args):
            try:
                return fn(*args)
            except BaseException as error:
                self._check(error, "a thread")
                raise

        return watched

    def _check(self, error, what):
        where = f"{what} of {self.program.__name__} ({self.name})"
        # Its siblings and its parent may cancel it.
        self.world.report.check(where, error, (asyncio.CancelledError,))
