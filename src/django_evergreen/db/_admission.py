"""
Who is asked before a task or a thread gets a connection for the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Each is called with the wrapper, if it's a thread's that is about to connect, or
# with None for a task. It raises if that must not have a connection.
admissions: list[Callable[[Any], None]] = []


def admit(wrapper: Any = None) -> None:
    for check in admissions:
        check(wrapper)
