"""
Every a-method that this Django defines has its twin tested, or a reason why not.

They are read from Django's source, so that those of managers that are made by
functions are among them: a new one fails here by name.
"""

from __future__ import annotations

import ast
from pathlib import Path

import django

from . import test_orm_twins as orm
from . import test_twins_of_contrib as contrib
from . import test_twins_of_the_rest as rest

RELATED = "django.db.models.fields.related_descriptors"
GENERIC = "django.contrib.contenttypes.fields"
SESSIONS = "django.contrib.sessions.backends"
# Where a-methods are defined, and the names of those that have a case.
TESTED = {
    "django.db.models.query:QuerySet": orm.BOOKS,
    "django.db.models.query": ["aprefetch_related_objects"],
    "django.db.models.base:Model": orm.MODEL,
    f"{RELATED}:RelatedManager": {**orm.BOOKS, **orm.REVERSE_FK},
    f"{RELATED}:ManyRelatedManager": orm.TAGS,
    f"{GENERIC}:GenericRelatedObjectManager": orm.NOTES,
    "django.core.paginator:AsyncPaginator": rest.PAGINATOR,
    "django.core.paginator:AsyncPage": rest.PAGE,
    "django.shortcuts": ["aget_object_or_404", "aget_list_or_404"],
    f"{SESSIONS}.base:SessionBase": [*contrib.SESSION, "aset"],
    **{
        f"{SESSIONS}.{engine}:SessionStore": contrib.SESSION
        for engine in ("cache", "cached_db", "db", "file", "signed_cookies")
    },
    "django.core.cache.backends.base:BaseCache": contrib.CACHE,
    "django.contrib.auth.base_user:AbstractBaseUser": contrib.USER,
    "django.contrib.auth.base_user:BaseUserManager": contrib.MANAGER,
    "django.contrib.auth.models:UserManager": contrib.MANAGER,
    "django.contrib.auth.models:PermissionsMixin": contrib.USER,
    "django.contrib.auth.models:AnonymousUser": rest.ANONYMOUS,
    "django.contrib.auth.models:GroupManager": ["aget_by_natural_key"],
    "django.contrib.auth.backends:BaseBackend": contrib.BACKEND,
    "django.contrib.auth.backends:ModelBackend": contrib.BACKEND,
    "django.contrib.auth.backends:RemoteUserBackend": rest.REMOTE,
    "django.contrib.auth.hashers": ["acheck_password"],
    "django.contrib.auth": [
        "aauthenticate",
        "acheck_password_with_timing_attack_mitigation",
        "aget_user",
        "alogin",
        "alogout",
        "aupdate_session_auth_hash",
    ],
    "django.dispatch.dispatcher:Signal": ["asend", "asend_robust"],
}
UNTESTED = {
    "django.contrib.auth.middleware": "auser() of a request is aget_user(), cached",
    "django.contrib.auth.middleware:RemoteUserMiddleware": "trusts a proxy's header",
    "django.tasks.backends.base:BaseTaskBackend": "keeps its thread",
    "django.tasks.backends.dummy:DummyBackend": "keeps what it's given in a list",
    "django.tasks.backends.immediate:ImmediateBackend": "awaits the task",
    "django.tasks.base:Task": "asks its backend, which keeps its thread",
    "django.tasks.base:TaskResult": "asks its backend, which keeps its thread",
    "django.test.client": "wraps the iterator of a response",
    "django.test.client:ClientMixin": "logs in by what is tested here",
    "django.utils.text": "compresses a sequence, and has nothing to wait for",
}


def defined_a_methods():
    """
    Yield the owner and the name of each public a-method in Django's source.
    """
    root = Path(django.__file__).parent
    for path in root.rglob("*.py"):
        parts = path.relative_to(root.parent).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        yield from of_body(ast.parse(path.read_text()), module)


def of_body(node, owner):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from of_body(child, f"{owner.partition(':')[0]}:{child.name}")
        elif isinstance(child, ast.FunctionDef):
            # Its own functions are nobody's methods, but its classes' are.
            classes = [c for c in ast.walk(child) if isinstance(c, ast.ClassDef)]
            yield from of_body(ast.Module(classes, []), owner)
        elif isinstance(child, ast.AsyncFunctionDef) and child.name.startswith("a"):
            yield owner, child.name


def test_every_a_method_of_this_django_is_known():
    found = list(defined_a_methods())
    assert len(found) > 100
    unknown = [
        f"{owner}.{name}"
        for owner, name in found
        if name not in TESTED.get(owner, ()) and owner not in UNTESTED
    ]
    assert not unknown, f"These a-methods are not tested: {unknown}"


def test_no_owner_is_both_tested_and_not():
    assert not TESTED.keys() & UNTESTED.keys()
