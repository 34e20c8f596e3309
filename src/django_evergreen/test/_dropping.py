"""
A test database can be dropped, whoever still holds a connection to it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from django.db import Error, connections

from ._ledger import close_connections_of_ended_threads, describe_holder, holders_of

# Seconds for sessions to be noticed as closed by PostgreSQL; between two looks.
GRACE, LOOK = 1.0, 0.01

_SESSIONS = """\
SELECT pid, application_name, state, left(query, 100) FROM pg_stat_activity
WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def free_databases(old_config: Any, clones: int) -> Iterator[str]:
    """
    Close and end all connections to the databases that are about to be dropped.
    Yields a message about each that somebody held on to. Suspends: no.
    """
    close_connections_of_ended_threads()
    connections.close_all()
    for connection, _, is_destroyed in old_config or ():
        if is_destroyed:
            connection.close()
            if hasattr(connection, "close_pool"):
                connection.close_pool()
            for database in _with_clones(connection, clones):
                lines = _free(connection, database)
                if lines:
                    yield _message(connection.alias, database["NAME"], lines)


def _with_clones(connection: Any, clones: int) -> Iterator[dict[str, Any]]:
    yield connection.settings_dict
    if clones > 1:
        for number in range(1, clones + 1):
            yield connection.creation.get_test_db_clone_settings(str(number))


def _free(connection: Any, database: dict[str, Any]) -> list[str]:
    holders = holders_of(database)
    lines = [describe_holder(*holder) for holder in holders]
    if connection.vendor == "postgresql":
        known = {_session_of(wrapper) for wrapper, _ in holders}
        try:
            with connection.creation._nodb_cursor() as cursor:
                sessions = _end_sessions(cursor, database["NAME"], known)
        except Error as error:
            # PostgreSQL will say the same to who drops it.
            return [*lines, f"- somebody whose session can't be ended: {error}"]
        lines += map(_describe_session, sessions)
    return lines


def _session_of(wrapper: Any) -> Any:
    """
    Return the process that serves a connection on the server.
    """
    with contextlib.suppress(Exception):
        return wrapper.connection.info.backend_pid
    return None


def _end_sessions(cursor: Any, name: str, known: set[Any]) -> list[Any]:
    """
    End all sessions of a database. Returns those that are not known.
    """
    deadline = time.monotonic() + GRACE
    while True:
        cursor.execute(_SESSIONS, [name])
        sessions = cursor.fetchall()
        unknown = [session for session in sessions if session[0] not in known]
        if not unknown or time.monotonic() > deadline:
            break
        time.sleep(LOOK)
    for pid, *_ in sessions:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    return unknown


def _describe_session(session: Any) -> str:
    pid, application, state, query = session
    who = f" of {application!r}" if application else ""
    return f"- another process: the session {pid}{who}, {state}; last: {query}"


def _message(alias: str, name: str, lines: list[str]) -> str:
    head = (
        f"The test database {str(name)!r} ({alias!r}) was still in use when it was "
        "time to drop it:"
    )
    tail = (
        "It's dropped all the same. Call `connections.close_all()` at the end of what "
        "runs in a thread, and `close()` for a connection's copy."
    )
    return "\n".join([head, *lines, tail])
