"""
Django's own synchronous code on the event loop, in greenlets.

Importing this package reads no settings and loads neither Django nor a driver.
"""

from __future__ import annotations

from .exceptions import EvergreenError, NotInBridge, SwitchForbidden

__all__ = ["EvergreenError", "NotInBridge", "SwitchForbidden", "__version__"]

__version__ = "0.1.0"
