"""
Which programs there are: every step wherever it means the same in the sync twin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from hypothesis import strategies as st

from .leftovers import HANGS, KINDS
from .programs import (
    Ask,
    Atomic,
    Broken,
    Change,
    Class,
    CleanUp,
    Delete,
    Enter,
    Expect,
    Fail,
    Hook,
    Leave,
    OnCommit,
    Parallel,
    Read,
    Refused,
    Request,
    Rest,
    Sub,
    Switch,
    Test,
    Timeout,
    Write,
)


@dataclass(frozen=True)
class Place:
    """
    Where steps are taken.
    """

    # "async"; "bridge"; "thread", with a loop to which it can go back; "other thread";
    # or "sync", where no loop runs, perhaps.
    code: str
    # How deep steps may be nested.
    levels: int = 2
    in_test: bool = True
    may_write: bool = True
    may_fail: bool = True
    # Break the transaction for good. Where a task or a thread joins one that others
    # have broken, it's told so earlier than by Django.
    may_break: bool = False
    in_branch: bool = False
    # In a block, whose task nobody may wait for who has to wait for its turn.
    in_block: bool = False

    def inside(self, **changes):
        return replace(self, levels=self.levels - 1, **changes)


@cache
def steps(place, most=3):
    least = min(place.levels, most)
    return st.lists(st.one_of(kinds(place)), min_size=least, max_size=most).map(tuple)


def kinds(place):
    found = [st.just(Read())] * 3
    if place.may_fail:
        found += [st.builds(Fail, st.sampled_from(["fail", "error", "skip"]))]
        found += [st.builds(Expect, st.integers(0, 3))]
    if place.may_write:
        found += [st.just(Write())] * 4
        found += [st.just(Delete()), st.just(Refused())]
        found += [st.builds(OnCommit, st.booleans())]
    if place.code == "async":
        found += [st.just(Rest())]
    if place.in_test:
        found += of_test(place)
    if place.levels:
        found += nested(place)
    return found


def of_test(place):
    found = [st.just(Change())]
    if place.may_write:
        paths = ["/sync/"] if place.code in ("sync", "other thread") else PATHS
        found += [st.builds(Request, st.sampled_from(paths))]
    if place.may_break:
        found += [st.just(Broken())]
    if place.code == "async" and not (place.in_branch or place.in_block):
        found += [st.just(Ask())] * 2
    return found


PATHS = ["/sync/", "/async/"]


def nested(place):
    ends = ["commit", "commit", "rollback", "raise"]
    if place.may_write:
        ends.append("refused")
    block = place.inside(in_block=True)
    found = [st.builds(Atomic, steps(block), st.sampled_from(ends))] * 2
    if place.code == "async":
        found += [st.builds(Timeout, steps(place.inside()))]
        found += [
            st.builds(Switch, steps(place.inside(code="bridge")), st.just("bridge"))
        ]
        if not place.may_break:
            found += into_threads(place)
            found += [parallel(place)] * 4
    if place.code in ("bridge", "thread"):
        back = place.inside(code="async")
        found += [st.builds(Switch, steps(back), st.just("await"))]
    if "thread" not in place.code and not place.in_branch:
        found += registering(place)
    return found


def into_threads(place):
    found = [
        st.builds(Switch, steps(place.inside(code="thread")), st.just("insensitive")),
        st.builds(
            Switch, steps(place.inside(code="other thread")), st.just("to_thread")
        ),
    ]
    if not (place.in_branch and place.in_block):
        inside = steps(place.inside(code="thread"))
        found += [st.builds(Switch, inside, st.just("sensitive"))]
    return found


def parallel(place):
    branch = place.inside(in_branch=True, in_block=False)
    branches = st.lists(steps(branch), min_size=2, max_size=3).map(tuple)
    return st.builds(Parallel, branches, st.sampled_from(["gather", "group"]))


def registering(place):
    """
    Subtests, and what is done later, as a cleanup.
    """
    later = place.inside(in_block=False)
    if not place.in_test:
        # After the rollback.
        later = replace(later, may_write=False)
    found = [
        st.builds(CleanUp, steps(as_sync(later)), st.just(False)),
        st.builds(Enter, steps(later), st.just(place.code == "async")),
    ]
    if place.code != "sync":
        in_async = replace(later, code="async")
        found += [st.builds(CleanUp, steps(in_async), st.just(True))]
    if place.in_test:
        found += [st.builds(Sub, steps(place.inside()))]
    return found


def as_sync(place):
    return replace(place, code="bridge") if place.code == "async" else place


OF_CLASS = {"fails", "generator", "is stubborn", "sleeps", "thread", "timer due soon"}


def leaves(fate, are_last, are_of_class=False):
    names = [kind for kind in KINDS[fate] if are_last or not kind.startswith("last")]
    if are_of_class:
        # What it writes at its end would stay; of other coroutines nobody is told.
        names = [kind for kind in names if kind in OF_CLASS]
    return st.lists(
        st.builds(Leave, st.sampled_from(names), st.booleans()),
        min_size=1,
        max_size=2,
        unique_by=lambda step: step.kind,
    ).map(tuple)


def one_in(number):
    return st.integers(1, number).map(lambda drawn: drawn == number)


@st.composite
def tests(draw, kind, fate, may_break):
    decorator = draw(st.sampled_from([""] * 8 + ["skip", "expectedFailure"]))
    is_async = draw(st.integers(0, 4)) > 0
    in_engine = is_async or kind == "rollback"
    last = draw(leaves(fate, are_last=True)) if in_engine and draw(one_in(3)) else ()
    if is_async and draw(one_in(8)):
        hangs = draw(st.sampled_from(hangs_of(fate)))
        return Test((), True, decorator, hangs, last)
    if not is_async:
        place = Place("bridge" if in_engine else "sync", may_break=may_break)
        return Test(draw(steps(place, 5)), False, decorator, "", last)
    left = draw(leaves(fate, are_last=False)) if draw(one_in(3)) else ()
    return Test(
        draw(steps(Place("async", may_break=may_break), 5)) + left,
        True,
        decorator,
        "",
        last,
    )


def hangs_of(fate):
    is_patient = fate != "abandoned"
    return [
        name
        for name in HANGS
        if name == "sleeps" or ("stubborn" not in name) == is_patient
    ]


@st.composite
def hooks(draw, name, kind, fate, may_break):
    is_async = name.startswith("async")
    of_class = "Class" in name or name == "setUpTestData"
    may_write = not of_class or kind == "rollback"
    if name == "setUpTestData":
        is_async = draw(st.booleans())
    sync = "bridge" if kind == "rollback" else "sync"
    place = Place(
        "async" if is_async else sync,
        levels=1,
        in_test=not of_class,
        may_write=may_write,
        may_fail=draw(one_in(4)),
        may_break=may_break and not of_class,
    )
    left = ()
    if name in ("asyncSetUp", "asyncSetUpClass") and draw(one_in(4)):
        left = draw(leaves(fate, are_last=False, are_of_class=of_class))
    return Hook(draw(steps(place, 2)) + left, is_async)


NAMES = [
    "setUpClass",
    "asyncSetUpClass",
    "setUp",
    "asyncSetUp",
    "asyncTearDown",
    "tearDown",
    "asyncTearDownClass",
    "tearDownClass",
]


@st.composite
def classes(draw):
    kind = draw(st.sampled_from(["rollback", "flush"]))
    fate = draw(st.sampled_from(sorted(KINDS)))
    loop_scope = draw(st.sampled_from(["session", "session", "class", "test"]))
    may_break = draw(one_in(4))
    names = NAMES + ["setUpTestData"] * (kind == "rollback")
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
    return Class(
        kind=kind,
        loop_scope=loop_scope,
        leftovers=draw(st.sampled_from(["fail", "fail", "cancel", "wait"])),
        fate=fate,
        has_service=loop_scope != "test" and draw(st.booleans()),
        tests=tuple(
            draw(st.lists(tests(kind, fate, may_break), min_size=1, max_size=4))
        ),
        hooks={name: draw(hooks(name, kind, fate, may_break)) for name in chosen},
    )


def modules():
    return st.lists(classes(), min_size=1, max_size=2).map(tuple)
