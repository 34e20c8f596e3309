"""
The tests of the example pass, on this package and on stock Django.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "example"


@pytest.mark.slow
@pytest.mark.parametrize("stack", ["evergreen", "stock"])
def test_example(stack, request):
    server = request.config.server
    environment = {
        **os.environ,
        "EXAMPLE_STACK": stack,
        "EXAMPLE_DATABASE": "sqlite" if server is None else "postgresql",
        "DJANGO_SETTINGS_MODULE": "atlas.settings",
    }
    if server is not None:
        environment |= {
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": "postgres",
            "PGDATABASE": "example",
        }
    done = subprocess.run(
        [sys.executable, "manage.py", "test", "--noinput"],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK" in done.stderr
