"""
The Django app: applies the patches, and checks the settings.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .db._engines import ENGINES


class EvergreenConfig(AppConfig):
    name = "django_evergreen"
    verbose_name = "django-evergreen"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Now, because Django loads the backends with the first model.
        _check_engines()

    def ready(self) -> None:
        from . import patches
        from .checks import CHECKS
        from .db._settings import on_setting_changed

        patches.apply()
        for check in CHECKS:
            checks.register(check)
        setting_changed.connect(on_setting_changed)


def _check_engines() -> None:
    for alias, database in settings.DATABASES.items():
        engine = database.get("ENGINE") or ""
        if engine.startswith("django_evergreen") and engine not in ENGINES.values():
            known = " or ".join(map(repr, ENGINES.values()))
            msg = (
                f'DATABASES[{alias!r}]["ENGINE"] is {engine!r}, which doesn\'t exist. '
                f"Set it to {known}."
            )
            raise ImproperlyConfigured(msg)
