"""
Threads that a test has started.
"""

from __future__ import annotations

import threading


class NewThreads:
    """
    Those that have come since this was made. Their number alone would not tell: threads
    of an earlier test may end meanwhile.
    """

    def __init__(self):
        self._before = set(threading.enumerate())
        self._seen = set()

    def look(self):
        """
        Return those that were there now, or at an earlier look.
        """
        self._seen |= set(threading.enumerate()) - self._before
        return self._seen
