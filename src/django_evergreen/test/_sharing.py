"""
Databases with another engine than this package's: one connection for all of a test.

It blocks, and with it the event loop, for as long as a query takes. So a project can
use the test classes before it uses the engine.
"""

from __future__ import annotations

from django.db import connections

from ..db._scopes import shared_wrappers
from ..db._wrapper import ScopedWrapper


def share_wrappers() -> None:
    """
    Let tasks and threads use the wrappers of this thread. Runs in: a thread in which
    no event loop runs.
    """
    for alias in connections:
        wrapper = connections[alias]
        if not isinstance(wrapper, ScopedWrapper) and alias not in shared_wrappers:
            wrapper.inc_thread_sharing()
            shared_wrappers[alias] = wrapper


def use_shared_wrappers() -> None:
    """
    Use them in this thread, which works for a test.
    """
    for alias, wrapper in shared_wrappers.items():
        if connections[alias] is not wrapper:
            connections[alias] = wrapper


def end_sharing() -> None:
    """
    Undo :func:`share_wrappers`.
    """
    while shared_wrappers:
        _, wrapper = shared_wrappers.popitem()
        wrapper.dec_thread_sharing()


def forget_transactions() -> None:
    """
    Close the connections that are in a transaction which nobody will end.
    """
    for wrapper in shared_wrappers.values():
        if wrapper.in_atomic_block:
            wrapper.close()
            # As before connect(), which sets up the rest.
            wrapper.connection = None
            wrapper.in_atomic_block = wrapper.closed_in_transaction = False
