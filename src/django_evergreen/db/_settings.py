"""
What happens to open connections when a test overrides a setting.
"""

from __future__ import annotations

from typing import Any

from django.db import connections

from ..bridge._loops import current_hub
from ._engines import ENGINES
from ._pools import pools_of
from ._scopes import spare_wrappers

# The settings that connections were opened with, or that wrappers have cached.
_ABOUT_CONNECTIONS = frozenset({"DATABASES", "TIME_ZONE", "USE_TZ"})


def on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    """
    Close idle connections, and forget spare wrappers, of the running loop.
    """
    if setting in _ABOUT_CONNECTIONS:
        hub = current_hub()
        for alias, pool in pools_of(hub).items():
            spare_wrappers(hub, alias).clear()
            # SQLite knows no time zone, and may keep its data in a connection.
            if connections.settings[alias]["ENGINE"] == ENGINES["postgresql"]:
                pool.clear()
