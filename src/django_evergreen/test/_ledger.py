"""
Who has opened which connection by itself: threads, and copies of connections.

Those of tasks belong to the pool of their loop, and end with it. A thread's are its
own, so that a test database may still be in use when it's time to drop it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections
from django.db.backends.signals import connection_created

from ._owners import current_owner, started_at
from ._report import place
from ._sites import Site, frames_of_thread, is_at_database, is_users


@dataclass(frozen=True)
class Opening:
    """
    How a connection came to be.
    """

    thread: threading.Thread
    # "the test ...", "the class ...", or "".
    owner: str
    site: Site | None
    # Keeps what would be lost, still open, with the thread.
    wrapper: Any = None


# By Django's wrapper of the connection.
_openings: WeakKeyDictionary[Any, Opening] = WeakKeyDictionary()

# The id of the test that runs, for what it doesn't own: all that sync tests do.
running: list[str] = []


# As often as somebody wants it to be kept: the signal.
_keepers: list[Any] = []


def _note(sender: Any, connection: Any, **kwargs: Any) -> None:
    if getattr(connection, "_scope", None) is not None:
        # A task's.
        return
    owner = current_owner()
    name = owner.name if owner else "".join(f"the test {test}" for test in running[:1])
    thread = threading.current_thread()
    is_threads = getattr(connections._connections, connection.alias, None) is connection
    is_kept = is_threads and thread is not threading.main_thread()
    kept = connection if is_kept else None
    _openings[connection] = Opening(thread, name, started_at(), kept)


@contextlib.contextmanager
def keeping_ledger() -> Iterator[None]:
    """
    Note who opens connections. May be entered again inside.
    """
    _keepers.append(connection_created)
    connection_created.connect(_note, dispatch_uid=__name__)
    try:
        yield
    finally:
        _keepers.pop()
        if not _keepers:
            connection_created.disconnect(dispatch_uid=__name__)
            _openings.clear()


def close_connections_of_ended_threads() -> None:
    """
    Close what nobody can close any more. Suspends: no. Quick where there is nothing.
    """
    for wrapper, opening in tuple(_openings.items()):
        if not is_open(wrapper):
            del _openings[wrapper]
        elif not opening.thread.is_alive():
            del _openings[wrapper]
            close_for_other_thread(wrapper)


def close_connections_to_others(allowed: Collection[str]) -> None:
    """
    Close what idle threads have open to other databases than the allowed ones.

    Django refuses only new connections to them.
    """
    for wrapper, opening in tuple(_openings.items()):
        thread = opening.thread
        if (
            wrapper.alias not in allowed
            and is_open(wrapper)
            and thread is not threading.current_thread()
            and not is_at_database(frames_of_thread(thread.ident))
        ):
            close_for_other_thread(wrapper)


def close_for_other_thread(wrapper: Any) -> None:
    wrapper.inc_thread_sharing()
    try:
        wrapper.close()
    finally:
        wrapper.dec_thread_sharing()


def holders_of(database: dict[str, Any]) -> list[tuple[Any, Opening]]:
    """
    Return the wrappers that have a connection to a database, by its settings.
    """
    return [
        (wrapper, opening)
        for wrapper, opening in tuple(_openings.items())
        if is_open(wrapper) and _is_same(wrapper.settings_dict, database)
    ]


def is_open(wrapper: Any) -> bool:
    # Django keeps what was closed in a transaction until that ends.
    return wrapper.connection is not None and not wrapper.closed_in_transaction


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("NAME", "HOST", "PORT"))


def describe_holder(wrapper: Any, opening: Opening) -> str:
    """
    Return a line about who holds a connection.
    """
    thread = opening.thread
    text = f"- the thread {thread.name!r}, by {wrapper.alias!r}"
    if opening.owner:
        text += f", since {opening.owner}"
    if opening.site and is_users(opening.site.filename):
        text += f"\n    opened at {place(opening.site)}"
    return text
