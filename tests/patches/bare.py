"""
What tests need that await in a coroutine itself, rather than in the bridge.
"""

from __future__ import annotations

import re
import threading
from contextlib import asynccontextmanager, contextmanager

from django.db import transaction

from django_evergreen.bridge import run_sync


@asynccontextmanager
async def rolled_back():
    """
    A transaction around the awaits of this task, undone at its end.
    """
    block = transaction.atomic()
    await run_sync(block.__enter__)
    try:
        yield
    finally:
        await run_sync(transaction.set_rollback, True)
        await run_sync(block.__exit__, None, None, None)


@contextmanager
def no_new_thread():
    """
    Asserts that what is done inside starts no thread.

    SQLite's connection has one, for as long as it is open: query before.
    """
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def statements(captured, ignored=r"\d+"):
    """
    Return the captured SQL without what differs from run to run.
    """
    # Django names a server-side cursor after the task, or "sync" without one.
    names = re.compile(rf"_django_curs_\w+|{ignored}")
    return [names.sub("N", query["sql"]) for query in captured.captured_queries]
