"""
How psycopg opens connections, and cancels on them, waiting on the event loop.
"""

from __future__ import annotations

import types
from time import monotonic
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg import _conninfo_attempts, _conninfo_attempts_async, waiting
from psycopg import errors as e

from ....bridge._loops import Hub, current_hub
from ....bridge._switch import in_bridge, suspend

# psycopg's: seconds after which a blocking wait looks for Ctrl-C.
INTERVAL = 0.1


def wait_conn(
    gen: Any,
    interval: float = INTERVAL,
    timeout: float | None = None,
    shield: bool = False,
) -> Any:
    """
    Do what ``psycopg.waiting.wait_conn`` does, suspending in the bridge.

    For generators that open a connection, whose descriptor may change.
    """
    if not in_bridge():
        return waiting.wait_conn(gen, interval=interval, timeout=timeout)
    hub = current_hub()
    deadline = None if timeout is None else monotonic() + timeout
    try:
        fd, events = next(gen)
        while True:
            remaining = None if deadline is None else max(0.0, deadline - monotonic())
            ready = _wait_once(hub, fd, events, remaining, shield)
            if not ready and deadline is not None and monotonic() >= deadline:
                raise e._WaitTimeout("wait timeout expired")
            fd, events = gen.send(ready)
    except StopIteration as stop:
        return stop.value
    finally:
        # If it was cut short, its connection ends now, and not with the traceback.
        gen.close()


def _wait_once(
    hub: Hub, fd: int, events: int, timeout: float | None, shield: bool
) -> int:
    watch = hub.watch(fd)
    try:
        return watch.wait(int(events), timeout=timeout, shield=shield)
    finally:
        watch.close()


def conninfo_attempts(params: Any) -> Any:
    """
    Do what psycopg's function does, resolving names without blocking the loop.
    """
    if not in_bridge():
        return _conninfo_attempts.conninfo_attempts(params)
    return suspend(_conninfo_attempts_async.conninfo_attempts_async(params))


def rebind_connect() -> Any:
    """
    Return psycopg's ``Connection.connect`` looking up the two functions above.

    It calls functions of its module instead of methods of its class. Patching
    that module would change psycopg for the whole process.
    """
    connect: Any = psycopg.Connection.connect.__func__  # type: ignore[attr-defined]
    if not {"waiting", "conninfo_attempts"} <= set(connect.__code__.co_names):
        msg = (
            f"psycopg {psycopg.__version__} opens connections in a way that this "
            "version of django-evergreen doesn't know. Install psycopg 3.3, or a newer "
            "django-evergreen."
        )
        raise ImproperlyConfigured(msg)
    replaced = types.SimpleNamespace(wait_conn=wait_conn)
    rebound = types.FunctionType(
        connect.__code__,
        connect.__globals__
        | {"waiting": replaced, "conninfo_attempts": conninfo_attempts},
        connect.__name__,
        connect.__defaults__,
        connect.__closure__,
    )
    rebound.__kwdefaults__ = connect.__kwdefaults__
    return classmethod(rebound)
