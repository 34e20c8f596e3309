"""
The errors that need neither Django nor a driver.

Errors that are also database errors live in :mod:`django_evergreen.db`, as
they subclass Django's.
"""

from __future__ import annotations

__all__ = ["EvergreenError", "NotInBridge", "SwitchForbidden"]


class EvergreenError(Exception):
    """
    Base class of every error that django-evergreen raises.
    """


class NotInBridge(EvergreenError, RuntimeError):
    """
    Raised where sync code wants to suspend but nothing can resume it.
    """


class SwitchForbidden(EvergreenError, RuntimeError):
    """
    Raised where code suspends inside a ``no_switch()`` block.
    """


for _error in (EvergreenError, NotInBridge, SwitchForbidden):
    _error.__module__ = "django_evergreen"
