"""
A suite of two tests, which ends as its argument says: ``python -m`` runs it.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from conformance._environment import Environment
from conformance._records import Outcome, Writer


def main(end):
    with Writer(Path(Environment.read().records)) as writer:
        writer.total(2)
        if end == "empty":
            writer.end(waits=None, cpu_seconds=0.0)
            return
        writer.outcome("a.A.test_1", Outcome("passed"))
        if end == "dies":
            raise ValueError("django.x has no 'y', which is to be patched")
        if end == "hangs":
            threading.Event().wait()
        writer.outcome("a.A.test_2", Outcome("passed"))
        requests = {"serves": 3, "never_serves": 0}.get(end)
        waits = 0 if end == "never_waits" else 7
        writer.end(waits=waits, requests=requests, cpu_seconds=0.0)


if __name__ == "__main__":
    main(sys.argv[1])
