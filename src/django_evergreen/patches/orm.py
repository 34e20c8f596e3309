"""
The ORM: ``a``-methods of querysets, managers, models and the paginator.

For Django 5.2 to 6.1. They call their sync twins in a thread; here, in the
bridge. What users override, as ``save()``, runs in the bridge too.
"""

from __future__ import annotations

from ..db._reading import run_query
from ._call_sites import call_sites

PATCHES = [
    call_sites("django.db.models.query", run=run_query),
    call_sites("django.db.models.base"),
    call_sites("django.db.models.fields.related_descriptors"),
    call_sites("django.contrib.contenttypes.fields", app="django.contrib.contenttypes"),
    call_sites("django.core.paginator", since=(6, 0)),
]
