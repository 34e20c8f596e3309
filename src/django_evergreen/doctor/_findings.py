"""
What the doctor has found, and how it's written as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._placing import Place


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    One thing that a request may use, and where that runs.
    """

    # Its dotted path.
    name: str
    # None: it can't be told.
    place: Place | None
    # Ends the sentence that begins with "as".
    reason: str
    # Where it's used: a URL pattern, an alias, a signal or a hook.
    label: str = ""
    # It waits on the loop, and lets nothing else run meanwhile.
    holds_loop: bool = False
    # The path to write into EVERGREEN["ON_LOOP"], where that would change anything.
    remedy: str = ""
    # The module of the remedy.
    module: str = ""
    # More about it, for JSON.
    details: Mapping[str, Any] = field(default_factory=dict)
    # Methods of middleware that are called by themselves.
    hooks: tuple[Finding, ...] = ()

    @property
    def needs_thread(self) -> bool:
        return self.place is Place.THREAD

    def as_dict(self) -> dict[str, Any]:
        """
        Return it for JSON.
        """
        found = {
            "label": self.label,
            "name": self.name,
            "place": self.place and self.place.name.lower(),
            "reason": self.reason,
            "holds_loop": self.holds_loop,
            **self.details,
        }
        if self.hooks:
            found["hooks"] = [hook.as_dict() for hook in self.hooks]
        return found


@dataclass(frozen=True, kw_only=True)
class Advice:
    """
    What to change, and for what gain.
    """

    change: str
    gain: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """
    All of it. Of the middleware, the outermost comes first.
    """

    application: Finding
    # How many threads requests have for code that may block.
    threads: int
    databases: tuple[Finding, ...]
    middleware: tuple[Finding, ...]
    receivers: tuple[Finding, ...]
    views: tuple[Finding, ...]
    caches: tuple[Finding, ...]
    # At the most one.
    sessions: tuple[Finding, ...]
    # The greatest gain first.
    advice: tuple[Advice, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """
        Return it for JSON.
        """
        groups = ("databases", "middleware", "receivers", "views", "caches", "sessions")
        return {
            "application": self.application.as_dict(),
            "threads": self.threads,
            **{name: [f.as_dict() for f in getattr(self, name)] for name in groups},
            "advice": [vars(advice) for advice in self.advice],
        }
