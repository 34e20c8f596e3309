"""
The suites that judge: one file for each.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

THIRD_PARTY = (
    "rest_framework",
    "allauth",
    "treebeard",
    "filter",
    "reversion",
    "simple_history",
    "guardian",
    "model_utils",
)
# Not run, as their source distributions ship no tests.
WITHOUT_TESTS = (
    "channels",
    "django-modelcluster",
    "django-mptt",
    "django-polymorphic",
    "django-taggit",
)
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
    # What it's given there, before the labels.
    arguments: tuple[str, ...] = ()
    # The module with its settings, unless it configures them by itself.
    settings: str = ""
    # What its settings read from the environment, for each database.
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # The modes that it's run in.
    modes: tuple[str, ...] = ("plain", "bridge")
    # Those of them that select tests.
    partial_modes: tuple[str, ...] = ()

    def environment(self, database: str) -> dict[str, str]:
        settings = {"DJANGO_SETTINGS_MODULE": self.settings} if self.settings else {}
        return {**settings, **self.variables.get(database, {})}


def load(name: str) -> Suite:
    suite: Suite = importlib.import_module(f"{__name__}.{name}").SUITE
    return suite
