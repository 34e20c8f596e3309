"""
Source distributions from the package index, which ship the suites.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parent.parent / ".conformance"
SOURCES = ROOT / "sources"


def fetch(distribution: str) -> Path:
    """
    Return the directory of the source of a distribution, of the version that is
    installed; download it if it isn't there yet.
    """
    try:
        requirement = f"{distribution}=={version(distribution)}"
    except PackageNotFoundError:
        msg = (
            f"{distribution} is not installed, and its version decides which suite is "
            "run. Use `make conformance-third-party`."
        )
        raise SystemExit(msg) from None
    target = SOURCES / requirement
    if not target.exists():
        print(f"Fetching the source of {requirement}", flush=True)
        SOURCES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=SOURCES) as temporary:
            _unpack(_download(requirement, Path(temporary)), target)
    return target


def _download(requirement: str, directory: Path) -> Path:
    options = ("--quiet", "--no-deps", "--no-binary", ":all:")
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    if subprocess.run(command, cwd=directory, check=False).returncode:
        msg = f"pip could not download the source of {requirement}; see above."
        raise SystemExit(msg)
    (archive,) = directory.iterdir()
    return archive


def _unpack(archive: Path, target: Path) -> None:
    inside = archive.parent / "unpacked"
    with tarfile.open(archive) as tar:
        tar.extractall(inside, filter="data")
    (source,) = inside.iterdir()
    # At once, so that what is there is complete.
    shutil.move(source, target)
