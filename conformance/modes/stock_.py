"""
Stock Django: what the others are compared with.
"""

from __future__ import annotations

from . import Mode

MODE = Mode(title="stock Django", is_ours=False)
