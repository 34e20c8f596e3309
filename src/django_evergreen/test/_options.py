"""
What a run was told, for the test classes that don't tell it themselves.

Set by the runner, in its own process and in each of its workers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ._baseline import Baseline
from ._deadline import CANCEL_TIMEOUT
from ._leftovers import Leftover


@dataclass(frozen=True, kw_only=True)
class Options:
    """
    Options of the whole run. Can be pickled. See the attributes of
    ``AsyncTestMixin``.
    """

    leftovers: str = "fail"
    drain_timeout: float | None = None
    cancel_timeout: float = CANCEL_TIMEOUT
    test_timeout: float | None = None
    loop_scope: str = "session"
    # What is forgiven, as it was there before.
    baseline: Baseline | None = None


# The last ones apply.
_stack = [Options()]


@contextlib.contextmanager
def using_options(options: Options) -> Iterator[None]:
    """
    Let options apply to the tests that are run inside.
    """
    _stack.append(options)
    try:
        yield
    finally:
        _stack.remove(options)


def option(of: Any, name: str) -> Any:
    """
    Return what a test class says, or else the run.
    """
    value = getattr(of, name)
    return getattr(_stack[-1], name) if value is None else value


def new_leftovers(leftovers: Sequence[Leftover]) -> Sequence[Leftover]:
    """
    Return those that the run's baseline doesn't have.
    """
    baseline = _stack[-1].baseline
    return leftovers if baseline is None else baseline.new(leftovers)
