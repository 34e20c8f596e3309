"""
The end of a block, COMMIT or ROLLBACK, which cancellation must not cut short.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from time import monotonic
from typing import Any

from greenlet import getcurrent

from ..bridge._loops import current_hub
from ..bridge._switch import in_bridge

# Seconds that the end of a block may take once its task has been cancelled.
FINISH_TIMEOUT = 5.0


class Finishing:
    """
    Decides what a cancellation does to the statements that end a block.

    The first one lets them go on under a deadline, and is raised afterwards.
    The second one closes the connection: its task wants to be gone. The one
    that ended the body of the block is counted as the first.

    Where cancellation is a level and not an edge, as in anyio, the level that
    has cancelled once is shielded from.
    """

    def __init__(self, error: BaseException | None) -> None:
        # When to give up, in monotonic seconds; None while not cancelled.
        self.deadline: float | None = None
        self._absorbed: BaseException | None = None
        self._shield: AbstractContextManager[Any] | None = None
        # Of the block in which this one ends.
        self._outer: Finishing | None = None
        self._hub = current_hub() if in_bridge() else None
        if self._hub is not None and isinstance(error, self._hub.cancelled):
            self._start_deadline()

    def _start_deadline(self) -> None:
        assert self._hub is not None
        self.deadline = monotonic() + FINISH_TIMEOUT
        self._shield = self._hub.shield_from_levels()
        self._shield.__enter__()

    def absorb(self, error: BaseException) -> bool:
        """
        Return whether to go on in spite of ``error``.
        """
        if self.deadline is not None or self._hub is None:
            return False
        if not isinstance(error, self._hub.cancelled):
            return False
        self._absorbed = error
        self._start_deadline()
        return True

    def remaining(self) -> float | None:
        """
        Return the seconds until the deadline, or None if there is none.
        """
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - monotonic())

    def __enter__(self) -> None:
        g: Any = getcurrent()
        if self._hub is not None:
            self._outer, g.finishing = g.finishing, self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """
        End the protection: what follows is not the end of a block.
        """
        if self._hub is None:
            return
        self._hub = None
        g: Any = getcurrent()
        g.finishing = self._outer
        shield, self._shield = self._shield, None
        if shield is not None:
            shield.__exit__(None, None, None)

    def raise_absorbed(self, cause: BaseException | None = None) -> None:
        """
        Raise the cancellation that was held back, if there was one.
        """
        error, self._absorbed = self._absorbed, None
        if error is not None and error is not cause:
            raise error from cause


def is_finishing() -> bool:
    """
    Return whether this code ends a block.
    """
    return getattr(getcurrent(), "finishing", None) is not None


def stop_finishing() -> None:
    """
    End the protection of the block that is being ended, if there is one.
    """
    finishing = getattr(getcurrent(), "finishing", None)
    if finishing is not None:
        finishing.stop()
