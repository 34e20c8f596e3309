"""
One assignment into Django or asgiref, and its exact reversal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from typing import Any

import django
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

_MISSING: Any = object()


@dataclass(eq=False)
class Patch:
    """
    Replaces ``attribute`` of ``target`` by ``make(original)``.

    ``target`` is a module, or ``"module:Object"``. ``app`` names the Django app
    without which the module can't be imported. ``since`` is the first Django in
    which there is anything to patch, ``until`` the first in which no more. With
    ``adds`` the target has no such attribute of its own, or inherits it.
    """

    target: str
    attribute: str
    make: Callable[[Any], Any]
    app: str | None = None
    since: tuple[int, int] = (5, 2)
    until: tuple[int, int] = (6, 2)
    adds: bool = False
    # What was there before, while the patch is applied.
    original: Any = _MISSING
    replacement: Any = _MISSING

    def __repr__(self) -> str:
        state = "applied" if self.is_applied() else "not applied"
        return f"<Patch {self.target}.{self.attribute}: {state}>"

    def is_applied(self) -> bool:
        return self.original is not _MISSING

    def is_needed(self) -> bool:
        return self.since <= django.VERSION[:2] < self.until and (
            self.app is None or apps.is_installed(self.app)
        )

    def apply(self) -> None:
        """
        Apply the patch, once; do nothing if that is done already.
        """
        if self.is_applied() or not self.is_needed():
            return
        owner = self._owner()
        original = vars(owner).get(self.attribute, _MISSING)
        if self.adds and original is _MISSING:
            original = getattr(owner, self.attribute, None)
        elif self.adds or original is _MISSING:
            msg = (
                f"{self.target} has {'already' if self.adds else 'no'} "
                f"{self.attribute!r}, which is to be patched: this Django is newer "
                "than this django-evergreen knows. Upgrade django-evergreen."
            )
            raise ImproperlyConfigured(msg)
        self.replacement = self.make(original)
        self.original = original
        setattr(owner, self.attribute, self.replacement)

    def revert(self) -> None:
        """
        Put the original back, if the patch is applied.
        """
        if self.is_applied():
            if self.adds:
                delattr(self._owner(), self.attribute)
            else:
                setattr(self._owner(), self.attribute, self.original)
            self.original = self.replacement = _MISSING

    def _owner(self) -> Any:
        module, _, path = self.target.partition(":")
        names = path.split(".") if path else []
        return reduce(getattr, names, import_module(module))
