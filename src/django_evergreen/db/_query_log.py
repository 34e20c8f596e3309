"""
The log of what a connection was sent, to which others can listen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

Entry = dict[str, str]

# Each is called with the alias and the entry, whatever connection it is of. Without
# ``force_debug_cursor`` there is nothing to hear: see test/_queries.py.
listeners: list[Callable[[str, Entry], None]] = []


class QueriesLog(deque[Entry]):
    """
    What Django keeps in ``connection.queries_log``.
    """

    __slots__ = ("alias",)

    alias: str

    def append(self, entry: Entry) -> None:
        super().append(entry)
        for listener in tuple(listeners):
            listener(self.alias, entry)


def new_log(wrapper: Any) -> QueriesLog:
    """
    Return an empty log for a wrapper.
    """
    log = QueriesLog(maxlen=wrapper.queries_limit)
    log.alias = wrapper.alias
    return log
