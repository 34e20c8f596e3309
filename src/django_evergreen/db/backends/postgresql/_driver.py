"""
psycopg as a DB-API module, with this package's way to connect.
"""

from __future__ import annotations

from typing import Any

import psycopg

from ._connection import Connection

connect = Connection.connect


def __getattr__(name: str) -> Any:
    return getattr(psycopg, name)
