"""
The doctor: where the code of a project runs under ASGI, why, and what to change.

Asks the rules by which code is placed; it has none of its own. Imports the project's
ASGI application, middleware and views, and calls none of them.
"""

from __future__ import annotations

from dataclasses import replace

from ..conf import options
from . import _code, _services
from ._advice import advise
from ._application import find_application
from ._findings import Advice, Diagnosis, Finding

__all__ = ["Advice", "Diagnosis", "Finding", "examine"]


def examine() -> Diagnosis:
    """
    Return the diagnosis of the project that the settings are of.

    Raises ``ImproperlyConfigured`` if the setting ``EVERGREEN`` is wrong. What can't
    be loaded is a finding. Connects to no database and to no cache.

    Suspends: no. Runs in: any thread.
    """
    diagnosis = Diagnosis(
        threads=options().threads,
        application=find_application(),
        databases=tuple(_services.find_databases()),
        middleware=tuple(_code.find_middleware()),
        receivers=tuple(_code.find_receivers()),
        views=tuple(_code.find_views()),
        caches=tuple(_services.find_caches()),
        sessions=tuple(_services.find_sessions()),
    )
    return replace(diagnosis, advice=tuple(advise(diagnosis)))
