"""
The end of the process, whatever threads a test has left behind.

Python waits at exit for each thread that is no daemon, however long it takes; so a run
whose results are known would hang.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from typing import Any

# Seconds that threads may take to end once nothing else is left to do.
EXIT_TIMEOUT = 5.0


# The exit status of the last run.
_status = [1]


def exit_without_threads(status: int) -> None:
    """
    Let the process exit with ``status`` some seconds after all but threads has ended.
    """
    _status[:] = [status]
    _prepare()


@functools.cache
def _prepare() -> None:
    register: Any = getattr(threading, "_register_atexit", None)
    if register is not None:
        is_ending = threading.Event()
        # Called before Python waits for threads. None can be started then.
        register(is_ending.set)
        name = "django-evergreen exit"
        threading.Thread(
            target=_wait, args=(is_ending,), name=name, daemon=True
        ).start()


def has_threads() -> bool:
    """
    Return whether there are threads that Python will wait for.
    """
    return bool(_threads())


def _threads() -> list[threading.Thread]:
    main = threading.main_thread()
    return [t for t in threading.enumerate() if not (t.daemon or t is main)]


def _wait(is_ending: threading.Event) -> None:
    is_ending.wait()
    deadline = time.monotonic() + EXIT_TIMEOUT
    threads = _threads()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if stubborn := [thread.name for thread in threads if thread.is_alive()]:
        sys.stdout.flush()
        sys.stderr.write(
            f"\nExiting without waiting for {', '.join(map(repr, stubborn))}: not "
            f"ended {EXIT_TIMEOUT:g} s after all tests.\n"
        )
        sys.stderr.flush()
        os._exit(_status[0])
