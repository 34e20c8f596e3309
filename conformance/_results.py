"""
The results of a cell, as a file of JSON that is kept in the repository.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ._comparison import Cell, Difference, count
from ._run import Run

RESULTS = Path(__file__).parent / "results"
VERSIONS = ("asgiref", "Django", "greenlet", "psycopg")


def result_of(
    cell: Cell,
    stock: Run,
    ours: Run,
    differences: Sequence[Difference],
    unstable: Sequence[Difference],
) -> dict[str, Any]:
    assert ours.records.end is not None
    assert stock.records.end is not None
    return {
        **asdict(cell),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
        **count(ours.records),
        "waits": ours.records.end["waits"],
        "cpu_seconds": ours.records.end["cpu_seconds"],
        "stock": {
            **count(stock.records),
            "cpu_seconds": stock.records.end["cpu_seconds"],
        },
        "differences": [d.as_json() for d in differences],
        # Differed once, and not when both were repeated.
        "unstable": [d.as_json() for d in unstable],
    }


def _commit() -> str | None:
    """
    Return what was tested, if this is a checkout.
    """
    try:
        commit = _git("rev-parse", "--short", "HEAD").strip()
        changed = _git("diff", "--name-only", "HEAD", "--", ":/src")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}, changed" if changed else commit


def _git(*args: str) -> str:
    return subprocess.run(
        ("git", *args), cwd=RESULTS.parent, capture_output=True, text=True, check=True
    ).stdout


def write(cell: Cell, result: dict[str, Any]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{cell}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return path


def read_all() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
