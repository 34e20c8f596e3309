"""
``transaction.atomic()``, keeping the book of the transfers made in it.
"""

from __future__ import annotations

from django.db import transaction

from ._book import Fate


class Block:
    """
    Is entered by ``async with``, and in sync code by ``with``.

    A transfer whose block was left by an error in its body must never exist. If
    the body was completed and the error came while leaving, it's unknown.
    """

    def __init__(self, book, *orders, parent=None, commits=True, **options):
        self._book = book
        self._parent = parent
        self._atomic = transaction.atomic(**options)
        # False: the program has the block rolled back without an error.
        self._commits = commits
        self.tokens = [order.token for order in orders]

    async def __aenter__(self):
        await self._atomic.__aenter__()
        return self

    async def __aexit__(self, *exc_info):
        self._leaving(exc_info[1])
        await self._atomic.__aexit__(*exc_info)
        self._left(exc_info[1])

    def __enter__(self):
        self._atomic.__enter__()
        return self

    def __exit__(self, *exc_info):
        self._leaving(exc_info[1])
        self._atomic.__exit__(*exc_info)
        self._left(exc_info[1])

    def _leaving(self, error):
        if error is not None:
            self._book.note(self.tokens, Fate.NEVER, f"its block raised {error!r}")
        elif self._parent is None and self._commits:
            self._book.note(self.tokens, Fate.UNKNOWN, "its block was about to commit")

    def _left(self, error):
        if error is not None or not self._commits:
            return
        if self._parent is not None:
            self._parent.tokens += self.tokens
        else:
            self._book.note(self.tokens, Fate.EXISTS, "its block ended without error")
