"""
What is known about a pool, for its users.
"""

from __future__ import annotations

from dataclasses import dataclass

# How many holders a message names.
MAX_NAMED = 10


@dataclass(frozen=True)
class PoolStatistics:
    """
    What a pool holds at this moment.

    Attributes:
        size: connections that exist or are being opened.
        idle: those that nobody uses.
        waiting: tasks that wait for one.
        max_size: the most connections there may be.
        holders: the names of the tasks that use a connection.
        opened: how many connections have been opened so far.
        timeouts: how often nobody could be given one in time so far.
    """

    size: int
    idle: int
    waiting: int
    max_size: int
    holders: tuple[str, ...]
    opened: int = 0
    timeouts: int = 0

    def named_holders(self) -> str:
        """
        Return some of the holders, for a message.
        """
        named = ", ".join(self.holders[:MAX_NAMED])
        more = len(self.holders) - MAX_NAMED
        return f"{named} and {more} more" if more > 0 else named
