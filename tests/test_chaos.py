"""
A short form of ``make chaos``: a ledger under cancellations and killed servers.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from .fix_loops import LOOPS

# For each loop and database.
SECONDS = 15
# The server may start slowly, and what is left over is waited for.
DEADLINE = 120


@pytest.mark.slow
@pytest.mark.timeout(DEADLINE + 30)
@pytest.mark.parametrize("loop", LOOPS)
def test_chaos(loop, request):
    """
    No transfer is lost, doubled or half made, whatever is killed meanwhile.
    """
    seed = random.randrange(10**6)
    options = [
        *("--seed", str(seed)),
        *("--seconds", str(SECONDS)),
        *("--database", request.config.getoption("--database")),
        *("--loop", loop),
    ]
    # In a process of its own: it's about all threads and greenlets there are.
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "chaos", *options],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    # The output tells how to repeat it, with its seed.
    assert done.returncode == 0, done.stdout
    assert "PASSED" in done.stdout
