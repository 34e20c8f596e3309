"""
What to change, by what it gains.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from django.db import connections

from .._remedies import DJANGOS_REDIS, OUR_REDIS
from ..db._engines import ENGINES
from ._findings import Advice, Diagnosis, Finding

ON_LOOP = 'EVERGREEN["ON_LOOP"]'
WHOLE_TIME = ("for its whole time", "are served")


def advise(diagnosis: Diagnosis) -> Iterator[Advice]:
    """
    Yield advice, the greatest gain first.
    """
    yield from _about_application(diagnosis.application)
    yield from _about_databases(diagnosis.databases)
    yield from _about_sessions(diagnosis.sessions)
    yield from _about_each_request(diagnosis)
    yield from _about_caches(diagnosis.caches)
    yield from _about_views(diagnosis)


def _about_application(application: Finding) -> Iterator[Advice]:
    if application.details["kind"] == "django":
        module = application.name.rpartition(".")[0]
        yield Advice(
            change=f"In {module}, import get_asgi_application from "
            "django_evergreen.asgi, instead of django.core.asgi.",
            gain="One greenlet serves a request, with Django's sync middleware. What "
            "blocks shares a bounded number of threads, where Django's own application "
            "starts one for each request in flight. What is said here about places is "
            "about django_evergreen.asgi.",
        )


def _about_databases(databases: Iterable[Finding]) -> Iterator[Advice]:
    for database in databases:
        vendor = getattr(connections[database.label], "vendor", "")
        engine = ENGINES.get(vendor)
        if database.place is not None and engine not in (None, database.name):
            yield Advice(
                change=f'Set DATABASES[{database.label!r}]["ENGINE"] to {engine!r}.',
                gain="Queries on the loop work, without blocking it: now they are "
                "refused there.",
            )


def _about_sessions(found: Iterable[Finding]) -> Iterator[Advice]:
    for sessions in found:
        if sessions.holds_loop:
            yield Advice(
                change="Set SESSION_ENGINE to 'django.contrib.sessions.backends.db', "
                "or to another one of Django's that needs no files.",
                gain="The loop isn't held while a session is loaded or saved: now no "
                "other request goes on meanwhile.",
            )


def _about_caches(caches: Iterable[Finding]) -> Iterator[Advice]:
    for cache in caches:
        if cache.name == DJANGOS_REDIS:
            yield Advice(
                change=f'Set CACHES[{cache.label!r}]["BACKEND"] to {OUR_REDIS!r}.',
                gain="Its commands suspend. Now each takes a thread.",
            )


def _about_each_request(diagnosis: Diagnosis) -> Iterator[Advice]:
    paths = _remedies(_of_each_request(diagnosis))
    if not paths:
        return
    # Together, as a request that has used its thread once keeps it.
    single = len(paths) == 1
    threads = diagnosis.threads
    since, limited = _since(diagnosis)
    yield Advice(
        change=f"Add {' and '.join(map(repr, paths))} to {ON_LOOP}, if "
        f"{'it doesn' if single else 'they don'}'t block.",
        gain=f"Saves {'it' if single else 'them'} a thread for each request. Now each "
        f"request holds one of {threads} threads {since}, so that no more "
        f"than {threads} {limited} at a time."
        + ("" if single else " As long as one needs a thread, the others save none."),
    )


def _of_each_request(diagnosis: Diagnosis) -> Iterator[Finding]:
    yield from diagnosis.receivers
    for middleware in diagnosis.middleware:
        yield middleware
        yield from middleware.hooks


def _remedies(findings: Iterable[Finding]) -> list[str]:
    return list(dict.fromkeys(f.remedy for f in findings if f.remedy))


def _since(diagnosis: Diagnosis) -> tuple[str, str]:
    """
    Return from when on a request holds its thread, and what that limits.
    """
    labels = [r.label for r in diagnosis.receivers if r.needs_thread]
    if "request_started" in labels:
        return WHOLE_TIME
    for middleware in diagnosis.middleware:
        if middleware.needs_thread:
            if middleware is diagnosis.middleware[0]:
                return WHOLE_TIME
            return f"from {middleware.name} on, to its end", "get there"
        for hook in middleware.hooks:
            if hook.needs_thread:
                return f"from {hook.name} on, to its end", "get there"
    return "at its end", "end"


def _about_views(diagnosis: Diagnosis) -> Iterator[Advice]:
    by_module = defaultdict(list)
    for view in diagnosis.views:
        if view.remedy:
            by_module[view.module].append(view)
    threads = diagnosis.threads
    for module, views in sorted(by_module.items(), key=lambda item: -len(item[1])):
        paths = _remedies(views)
        if len(paths) == 1:
            yield Advice(
                change=f"Add {paths[0]!r} to {ON_LOOP}, if it doesn't block.",
                gain="Saves its requests a thread. Now each holds one of "
                f"{threads} from the view on, to its end.",
            )
            continue
        yield Advice(
            change=f"Add {module!r} to {ON_LOOP}, if none of its {len(paths)} views "
            "blocks; or decorate those that don't with @on_loop.",
            gain=f"Saves requests of {len(paths)} views a thread. Now each "
            f"holds one of {threads} from the view on, to its end.",
        )
