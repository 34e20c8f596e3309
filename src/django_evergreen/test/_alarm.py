"""
A time-out for code that blocks the event loop, which no timer of that loop can end.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any


class Alarm:
    """
    Calls a function in the main thread in the middle of whatever it does; it may raise.

    Does nothing where there is no such signal, as on Windows, where somebody else uses
    it, and in other threads. Can't interrupt a call of C code that goes on.
    """

    def __init__(self, seconds: float, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._is_set = (
            hasattr(signal, "setitimer")
            and threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        )
        if self._is_set:
            signal.signal(signal.SIGALRM, self._on_signal)
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def _on_signal(self, *args: Any) -> None:
        self._ring()

    def clear(self) -> None:
        if self._is_set:
            self._is_set = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
