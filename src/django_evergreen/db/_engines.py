"""
Which backends work in tasks: those of this package, with its app installed.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from asgiref.sync import SyncToAsync
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from ..bridge._loops import running_loop

PREFIX = "django_evergreen.db.backends."
# By the vendor that they serve.
ENGINES = {"postgresql": PREFIX + "postgresql", "sqlite": PREFIX + "sqlite3"}


def is_ours(alias: str) -> bool:
    """
    Return whether a database has an engine of this package.
    """
    engine = connections.settings[alias]["ENGINE"]
    return isinstance(engine, str) and engine.startswith(PREFIX)


def check_app_is_installed() -> None:
    """
    Refuse to connect for async code without the patches: tasks would share
    connections, and each query would occupy a thread.
    """
    from ._scopes import ScopedStorage  # imports this module

    if type(connections._connections) is ScopedStorage or not _serves_async_code():
        return
    msg = (
        "A database has an ENGINE of django_evergreen, which serves async code only "
        "with its app. Add 'django_evergreen' to INSTALLED_APPS."
    )
    raise ImproperlyConfigured(msg)


def _serves_async_code() -> bool:
    # asgiref's mark of a thread that has run code for an event loop.
    loop = getattr(SyncToAsync.threadlocal, "main_event_loop", None)
    return loop is not None or running_loop() is not None


def forbid_in_tasks(wrapper: Any) -> None:
    """
    Make a wrapper of another backend refuse to connect in a task.
    """
    if wrapper.settings_dict["ENGINE"] != "django.db.backends.dummy":
        wrapper.connect = partial(_refuse_engine, wrapper)


def _refuse_engine(wrapper: Any) -> None:
    engine = wrapper.settings_dict["ENGINE"]
    remedy = "Query this database in a thread: `await asyncio.to_thread(function)`."
    if wrapper.vendor in ENGINES:
        remedy = f"Set it to {ENGINES[wrapper.vendor]!r}."
    msg = (
        f"DATABASES[{wrapper.alias!r}] has the ENGINE {engine!r}, which would block "
        f"the event loop. {remedy}"
    )
    raise ImproperlyConfigured(msg)
