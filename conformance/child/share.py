"""
Which tests are in a share of a suite.

It is fixed: a class is in or out by its name. And it covers each app: the
classes of an app that use the database are counted through, beginning with the
first one, then the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any


def take_share(tests: Iterable[Any], one_in: int) -> list[Any]:
    """
    Return the tests of one class in ``one_in`` of each app, in their order.
    """
    tests = list(tests)
    of_app: dict[tuple[str, bool], set[str]] = defaultdict(set)
    for test in tests:
        of_app[_app(test), _uses_database(test)].add(_class(test))
    taken = {name for names in of_app.values() for name in sorted(names)[::one_in]}
    return [test for test in tests if _class(test) in taken]


def _app(test: Any) -> str:
    return type(test).__module__.partition(".")[0]


def _class(test: Any) -> str:
    return f"{type(test).__module__}.{type(test).__qualname__}"


def _uses_database(test: Any) -> bool:
    return bool(getattr(test, "databases", None))
