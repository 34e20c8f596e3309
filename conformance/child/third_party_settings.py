"""
What is replaced in the settings of a suite: its databases and, for this package's
engine, the app.
"""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings

from .. import modes
from .._environment import Environment


class Engine(str):
    """
    The name of an engine, which also equals that of Django's own one.

    Some suites compare it, and skip tests if it is any other.
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        names = (str(self), self.replace("django_evergreen.", "django.", 1))
        return str(other) in names

    def __ne__(self, other: object) -> bool:
        return not self == other


def install(environment: Environment) -> None:
    """
    Replace them by the call of ``django.setup``, as only then are they known: they
    may come from a module, or from ``settings.configure``.
    """
    setup = django.setup

    def setup_with_replaced(*args: Any, **kwargs: Any) -> None:
        django.setup = setup
        _replace(environment)
        setup(*args, **kwargs)

    django.setup = setup_with_replaced


def _replace(environment: Environment) -> None:
    databases = environment.databases(settings.DATABASES)
    for database in databases.values():
        database["ENGINE"] = Engine(database["ENGINE"])
    settings.DATABASES = databases
    if modes.load(environment.mode).is_ours:
        apps = settings.INSTALLED_APPS
        # A list or a tuple, and tests add to it.
        settings.INSTALLED_APPS = apps + type(apps)(["django_evergreen"])
