"""
The suites that judge: one file for each.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

THIRD_PARTY: tuple[str, ...] = ()
NAMES = ("django", *THIRD_PARTY)


@dataclass(frozen=True, kw_only=True)
class Suite:
    # Its distribution on the package index.
    distribution: str
    # Where in its source it's run.
    directory: str
    # What `python -m` runs there.
    module: str
    # The labels that select the classes with these tests.
    labels: Callable[[list[str]], list[str]]
    # The modes that it's run in.
    modes: tuple[str, ...] = ("plain", "bridge")
    # Those of them that select tests.
    partial_modes: tuple[str, ...] = ()


def load(name: str) -> Suite:
    suite: Suite = importlib.import_module(f"{__name__}.{name}").SUITE
    return suite
