"""
What to write into the settings: for the doctor, and for the system checks.
"""

from __future__ import annotations

from typing import Any

from ._placing import name_of

DJANGOS_REDIS = "django.core.cache.backends.redis.RedisCache"
OUR_REDIS = "django_evergreen.cache.redis.RedisCache"


def path_to_declare(fn: Any) -> str:
    """
    Return what to write into ``EVERGREEN["ON_LOOP"]`` for a function or class.
    """
    # What is made in a function has no path of its own, but that function has.
    return name_of(fn).partition("<")[0].rstrip(".")
