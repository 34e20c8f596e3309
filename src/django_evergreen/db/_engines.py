"""
The backends of this package, by the vendor that they serve.
"""

from __future__ import annotations

PREFIX = "django_evergreen.db.backends."
ENGINES = {"postgresql": PREFIX + "postgresql", "sqlite": PREFIX + "sqlite3"}
