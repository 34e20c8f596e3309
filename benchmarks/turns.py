"""
The floor: what asyncio alone costs, without a line of this package.

Whatever answers a query on an event loop has to wait for a descriptor once. This is
that wait in its barest form: a future, which the loop sets as soon as it sees that a
descriptor is readable; here it is at once.
"""

from __future__ import annotations

import asyncio.events
import socket


class Turns:
    def __init__(self, loop):
        self._loop = loop
        self._waiter = None
        self._readable, self._other = socket.socketpair()
        self._readable.setblocking(False)
        self._other.send(b"x")
        loop.add_reader(self._readable.fileno(), self._wake)

    def _wake(self):
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def wait(self):
        """
        Return what to await: one turn of the loop.
        """
        self._waiter = self._loop.create_future()
        return self._waiter

    def close(self):
        self._loop.remove_reader(self._readable.fileno())
        self._readable.close()
        self._other.close()


class outside:  # noqa: N801  (a context manager, named as a preposition)
    """
    Let sync Django run for a block as if no loop did.
    """

    def __init__(self, loop):
        self._loop = loop

    def __enter__(self):
        asyncio.events._set_running_loop(None)

    def __exit__(self, *exc_info):
        asyncio.events._set_running_loop(self._loop)
