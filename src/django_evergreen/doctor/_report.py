"""
The diagnosis as text for a terminal.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from .._placing import Place
from ._findings import Diagnosis, Finding

WIDTH = 88

UNKNOWN = "unknown"


def report(diagnosis: Diagnosis, style: Any, *, show_all: bool) -> Iterator[str]:
    """
    Yield lines. ``style`` is that of a management command.
    """
    yield style.MIGRATE_HEADING("ASGI application")
    yield from _application(diagnosis.application, style)
    for title, findings, is_whole in (
        ("Databases", diagnosis.databases, True),
        ("Middleware", diagnosis.middleware, True),
        ("Receivers of request signals", diagnosis.receivers, show_all),
        ("Views", diagnosis.views, show_all),
        ("Caches", diagnosis.caches, True),
        ("Sessions", diagnosis.sessions, True),
    ):
        if findings:
            yield from _group(title, findings, style, is_whole=is_whole)
    yield ""
    yield style.MIGRATE_HEADING("Advice")
    if not diagnosis.advice:
        yield style.SUCCESS("  Nothing to change.")
    for number, advice in enumerate(diagnosis.advice, 1):
        yield from _wrap(advice.change, f"  {number}. ", "     ")
        yield from _wrap(advice.gain, "     ", "     ")


def _application(application: Finding, style: Any) -> Iterator[str]:
    paint = style.SUCCESS if _is_fine(application) else style.WARNING
    if application.name:
        yield f"  {application.name}"
    for line in _wrap(application.reason, " " * 6, " " * 6):
        yield paint(line)


def _group(
    title: str, findings: Iterable[Finding], style: Any, *, is_whole: bool
) -> Iterator[str]:
    places = Counter(map(_place_of, findings))
    counts = ", ".join(f"{number} {place}" for place, number in places.most_common())
    yield ""
    yield style.MIGRATE_HEADING(f"{title}: {counts}")
    shown = [f for f in findings if is_whole or not _is_fine(f)]
    for finding in shown:
        yield from _item(finding, style)
    hidden = sum(places.values()) - len(shown)
    if hidden:
        yield f"  {hidden} on the loop; --all shows {'it' if hidden == 1 else 'them'}"


def _is_fine(finding: Finding) -> bool:
    return finding.place in (Place.LOOP, Place.AWAITED) and not finding.holds_loop


def _place_of(finding: Finding) -> str:
    if finding.place is None:
        return UNKNOWN
    return finding.place.value + (", holding it" if finding.holds_loop else "")


def _item(finding: Finding, style: Any) -> Iterator[str]:
    names = dict.fromkeys(filter(None, (finding.label, finding.name)))
    yield "  " + "  ".join(names)
    place = _place_of(finding)
    paint = style.SUCCESS if _is_fine(finding) else style.WARNING
    # Painted afterwards: colours have no width.
    first, *rest = _wrap(f"{place}, as {finding.reason}", " " * 6, " " * 6)
    yield first.replace(place, paint(place), 1)
    yield from rest
    for hook in finding.hooks:
        if not _is_fine(hook):
            yield from _wrap(
                f"{hook.label}() {_place_of(hook)}, as {hook.reason}",
                " " * 6,
                " " * 8,
            )


def _wrap(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
