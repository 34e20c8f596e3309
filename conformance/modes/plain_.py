"""
The package is installed, and no event loop runs: sync Django is untouched.
"""

from __future__ import annotations

from . import Mode

MODE = Mode(title="our engine, without an event loop")
