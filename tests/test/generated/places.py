"""
Which steps there are in a place: those that mean the same in the sync twin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from hypothesis import strategies as st

from .programs import (
    Ask,
    Atomic,
    Broken,
    Capture,
    Change,
    CleanUp,
    Count,
    Delete,
    Enter,
    Expect,
    Fail,
    OnCommit,
    Parallel,
    Read,
    Refused,
    Request,
    Rest,
    Sub,
    Switch,
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
    has_threads: bool = True
    may_write: bool = True
    may_fail: bool = True
    # Break the transaction for good. Where tasks or threads have joined one, as those
    # of requests do, they are told so where Django rolls back silently.
    may_break: bool = False
    # Nothing queries in the background.
    may_count: bool = False
    is_rolled_back: bool = False
    in_branch: bool = False
    # In a block, whose task nobody may wait for who has to wait for its turn.
    in_block: bool = False

    @property
    def may_use_main_thread(self):
        # In a block of a branch it would wait for others to leave the thread, who wait
        # in there for the end of the block.
        return self.has_threads and not (self.in_branch and self.in_block)

    def inside(self, **changes):
        return replace(self, levels=self.levels - 1, **changes)


@cache
def steps(place, most=3):
    least = min(place.levels, most)
    return st.lists(st.one_of(kinds(place)), min_size=least, max_size=most).map(tuple)


def kinds(place):
    found = [st.just(Read())] * 3
    if place.may_fail:
        found += [st.builds(Fail, st.sampled_from(["fail", "error", "skip"]))] * 3
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
    # Branches share the object: which of them changes it first is not determined.
    found = [] if place.in_branch else [st.just(Change())]
    if place.may_write and (paths := paths_in(place)):
        found += [st.builds(Request, st.sampled_from(paths))]
    if place.may_break:
        found += [st.just(Broken())]
    if place.code == "async" and not (place.in_branch or place.in_block):
        found += [st.just(Ask())] * 2
    return found


def paths_in(place):
    """
    Return the views that can be requested.
    """
    if place.may_break or not place.may_use_main_thread:
        return []
    return ["/sync/"] if place.code in ("sync", "other thread") else PATHS


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
        if place.has_threads:
            found += into_threads(place)
        if not place.may_break:
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
    if place.may_use_main_thread:
        inside = steps(place.inside(code="thread"))
        found += [st.builds(Switch, inside, st.just("sensitive"))]
    return found


def parallel(place):
    # A block around all branches is not one of them.
    in_block = place.in_branch and place.in_block
    branch = place.inside(in_branch=True, in_block=in_block)
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
    if place.in_test and place.may_count:
        # In a thread, Django can't quote the parameters for the log: on SQLite that is
        # a query, too.
        found += [st.builds(Count, steps(place.inside(has_threads=False)))]
    if place.in_test and place.is_rolled_back:
        found += [st.builds(Capture, steps(place.inside()), st.booleans())]
    return found


def as_sync(place):
    return replace(place, code="bridge") if place.code == "async" else place
