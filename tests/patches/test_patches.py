"""
The patches: exact, reversible, and complete for each Django.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import django
import pytest
from django.core.exceptions import ImproperlyConfigured

from django_evergreen import patches
from django_evergreen.patches._patch import Patch

# Modules of Django whose uses of sync_to_async keep their thread, and why.
KEEP_THEIR_THREAD = {
    "django.contrib.auth": "aauthenticate() asks backends, which are patched",
    "django.contrib.auth.hashers": "hashing a password takes long on purpose",
    "django.contrib.staticfiles.handlers": "serves files",
    "django.core.handlers.exception": "renders the debug page, which reads files",
    "django.http.response": "consumes an iterator of the user's",
    "django.tasks.backends.base": "a backend of tasks may do anything",
    "django.tasks.base": "runs a task of the user's",
    "django.test.client": "closes a response, in tests",
}


@pytest.fixture
def reverted():
    patches.revert()
    yield
    patches.apply()


def test_patches_are_applied_by_the_app():
    assert all(patch.is_applied() for patch in patches.ALL if patch.is_needed())


def test_applying_again_changes_nothing():
    before = [(patch.original, patch.replacement) for patch in patches.ALL]
    patches.apply()
    assert [(patch.original, patch.replacement) for patch in patches.ALL] == before


@pytest.mark.parametrize("patch", patches.ALL, ids=lambda patch: patch.target)
def test_reverting_restores_the_original(patch):
    if not patch.is_needed():
        assert not patch.since <= django.VERSION[:2] < patch.until
        return

    def current():
        return vars(patch._owner()).get(patch.attribute)

    original = None if patch.adds else patch.original
    assert current() is patch.replacement
    patch.revert()
    try:
        assert current() is original
        assert not patch.is_applied()
        patch.revert()
        assert current() is original
    finally:
        patch.apply()
    assert current() is patch.replacement


def test_reverted_django_is_stock(reverted):
    from asgiref.sync import sync_to_async
    from django.db import connections
    from django.db.models import query

    assert query.sync_to_async is sync_to_async
    assert type(connections._connections).__module__ == "asgiref.local"


def test_target_that_has_moved_is_named():
    patch = Patch("django.db.models.query", "no_such_name", lambda original: original)
    with pytest.raises(ImproperlyConfigured, match="has no 'no_such_name'"):
        patch.apply()


def test_every_module_of_patches_says_why_and_for_which_versions():
    for name in sorted(sys.modules):
        if name.startswith("django_evergreen.patches."):
            module = sys.modules[name]
            assert module.__doc__
            if hasattr(module, "PATCHES"):
                assert "For Django 5.2 to 6.1." in module.__doc__ or (
                    "For asgiref" in module.__doc__
                )


def test_every_call_site_of_django_is_patched_or_known_to_keep_its_thread():
    root = Path(django.__file__).parent
    callers = set()
    for path in root.rglob("*.py"):
        relative = path.relative_to(root.parent).with_suffix("")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "asgiref.sync":
                if any(alias.name == "sync_to_async" for alias in node.names):
                    callers.add(".".join(relative.parts).removesuffix(".__init__"))
    patched = {p.target for p in patches.ALL if p.attribute == "sync_to_async"}
    unknown = callers - patched - set(KEEP_THEIR_THREAD)
    assert not unknown, f"New call sites of sync_to_async: {unknown}"
    stale = {p.target for p in patches.ALL if p.is_needed()} & patched - callers
    assert not stale, f"Django has no call sites there any more: {stale}"
