"""
Steps: what the demo is doing, how long it took, and why it stopped.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


class StepError(Exception):
    """
    A step could not be done: why, and what can be done about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        # The innermost step it passed through.
        self.step = ""


class Steps:
    """
    Prints each step as it begins and ends, with the time since the start.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """
        Print ``name``, run the body, print what it took.
        """
        began = time.monotonic()
        self._print(f"{name} ...", style="bold")
        try:
            yield
        except Exception as error:
            failure = _as_failure(error)
            failure.step = failure.step or name
            raise failure from error
        self._print(f"  done in {time.monotonic() - began:.1f} s", style="green")

    def say(self, text: str) -> None:
        self._print(f"  {text}")

    def report(self, failure: StepError) -> None:
        """
        Print which step failed, why, and what to do.
        """
        self._print(f"FAILED: {failure.step}", style="bold red")
        # Text, because the reason may have brackets, which rich takes for markup.
        self._console.print(
            Text(f"\nWhy:\n{failure.reason.rstrip()}\n"), soft_wrap=True
        )
        self._console.print(Text(f"What to do:\n{failure.remedy}\n"), soft_wrap=True)

    def _print(self, text: str, style: str = "") -> None:
        line = Text(f"[{self.elapsed:5.1f} s] {text}", style=style)
        self._console.print(line, soft_wrap=True)


def _as_failure(error: Exception) -> StepError:
    if isinstance(error, StepError):
        return error
    return StepError(
        "".join(traceback.format_exception(error)),
        "The demo does not know this failure. Please report the text above.",
    )
