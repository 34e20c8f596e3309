"""
What the parent tells a run, by the environment: which mode, which database.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import modes

PREFIX = "EVERGREEN_CONFORMANCE_"


@dataclass(frozen=True, kw_only=True)
class Environment:
    mode: str
    # "sqlite" or "postgresql".
    database: str
    # The file for the records.
    records: str
    # Of PostgreSQL; or where SQLite's files are.
    host: str
    port: str = ""
    # Take one test class in this many.
    share: str = "1"

    @classmethod
    def read(cls) -> Environment:
        names = cls.__dataclass_fields__
        return cls(**{name: os.environ[PREFIX + name.upper()] for name in names})

    def variables(self) -> dict[str, str]:
        return {PREFIX + name.upper(): value for name, value in asdict(self).items()}

    def databases(
        self, aliases: Iterable[str] = ("default", "other")
    ) -> dict[str, dict[str, Any]]:
        return {alias: self._database(alias) for alias in aliases}

    def _database(self, alias: str) -> dict[str, Any]:
        package = "django"
        if modes.load(self.mode).is_ours:
            package = "django_evergreen"
        # Runs side by side share the server.
        name = f"{self.mode}_{alias}"
        if self.database == "sqlite":
            # A file, as an in-memory database never waits.
            path = str(Path(self.host) / f"{name}.sqlite3")
            return {
                "ENGINE": f"{package}.db.backends.sqlite3",
                "NAME": path,
                "TEST": {"NAME": path},
            }
        return {
            "ENGINE": f"{package}.db.backends.postgresql",
            "NAME": name,
            "USER": "postgres",
            "HOST": self.host,
            "PORT": self.port,
        }
