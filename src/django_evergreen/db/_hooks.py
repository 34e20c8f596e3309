"""
What the wrapper of a vendor has to tell about its connections.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper


class ConnectionState(Enum):
    """
    What a physical connection is fit for, now that its scope waits.
    """

    CLEAN = "clean"
    IN_USE = "in use"
    BROKEN = "broken"


class BackendHooks(BaseDatabaseWrapper):
    """
    Implemented in ``backends/<vendor>/base.py``.
    """

    def connection_state(self, connection: Any) -> ConnectionState:
        """
        Tell whether a connection outside any transaction can be given back.
        """
        raise NotImplementedError

    @staticmethod
    def is_busy(connection: Any) -> bool:
        """
        Return whether a statement is half-way, or the connection is broken.
        """
        raise NotImplementedError

    @staticmethod
    def restore(connection: Any, autocommit: bool) -> None:
        """
        Roll back a connection that was left in a transaction. Suspends: yes.
        """
        raise NotImplementedError

    @staticmethod
    def is_broken(connection: Any) -> bool:
        """
        Return whether an idle connection is known to be unusable.
        """
        return False

    @staticmethod
    def close_abandoned_cursor(cursor: Any) -> None:
        """
        Close a server-side cursor that may be gone by now. Suspends: yes.
        """
        cursor.close()

    def wait_until_quiet(self) -> None:
        """
        Wait until what other tasks have sent is done. Suspends: yes.
        """
        raise NotImplementedError

    def abort_statement(self) -> None:
        """
        Break off what is being executed, or close the connection. Suspends: no.
        """
        raise NotImplementedError

    def is_aborted(self) -> bool:
        """
        Return whether the transaction can only be rolled back.
        """
        return False

    def is_in_transaction(self) -> bool:
        """
        Return whether the server has a transaction open, or a statement half-way.
        """
        return False

    def is_lost(self) -> bool:
        """
        Return whether there is no connection any more that could be used.
        """
        raise NotImplementedError
