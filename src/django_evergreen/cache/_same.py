"""
What makes two caches the same: Django makes a new object for each request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Same:
    """
    A key for what caches with equal settings share.
    """

    of: tuple[Any, ...]
    # Neither is the dict hashable, nor are passwords to be shown.
    options: dict[str, Any] = field(hash=False, repr=False)
