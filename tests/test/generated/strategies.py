"""
Which programs there are.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from .leftovers import HANGS, KINDS
from .places import Place, steps
from .programs import Class, Hook, Leave, Test

HOOKS_OF_CLASS = [
    "setUpClass",
    "asyncSetUpClass",
    "asyncTearDownClass",
    "tearDownClass",
]
HOOKS_OF_TEST = ["setUp", "asyncSetUp", "asyncTearDown", "tearDown"]

# What may be left over by a class: it writes nothing, which nobody would delete; and
# of coroutines never awaited nobody is told there.
OF_CLASS = {"fails", "generator", "is stubborn", "sleeps", "thread", "timer due soon"}


def one_in(number):
    return st.integers(1, number).map(lambda drawn: drawn == number)


@dataclass(frozen=True)
class Nature:
    """
    What the parts of a class have in common.
    """

    kind: str
    fate: str
    may_break: bool
    # The names of those that it has.
    hooks: tuple[str, ...]

    def place(self, code, **changes):
        return Place(
            code,
            has_threads=not self.may_break,
            may_break=self.may_break,
            may_count=self.fate != "ended",
            is_rolled_back=self.kind == "rollback",
            **changes,
        )

    def leaves(self, *, are_last=False, are_of_class=False):
        names = [
            kind
            for kind in KINDS[self.fate]
            if (are_last or not kind.startswith("last"))
            and (not are_of_class or kind in OF_CLASS)
        ]
        return st.lists(
            st.builds(Leave, st.sampled_from(names), st.booleans()),
            min_size=1,
            max_size=2,
            unique_by=lambda step: step.kind,
        ).map(tuple)

    def hangs(self):
        return [name for name in HANGS if self._may_hang(name)]

    def _may_hang(self, name):
        if self.fate != "abandoned":
            return "stubborn" not in name
        if "transaction" in name:
            # Hooks would be in the transaction that it leaves behind, or wait for its
            # end.
            return "stubborn" in name and not set(self.hooks) & set(HOOKS_OF_TEST)
        return "stubborn" in name or name == "sleeps"


@st.composite
def tests(draw, nature):
    decorator = draw(st.sampled_from([""] * 8 + ["skip", "expectedFailure"]))
    is_async = draw(st.integers(0, 4)) > 0
    in_engine = is_async or nature.kind == "rollback"
    left = last = ()
    if in_engine and draw(one_in(5)):
        last = draw(nature.leaves(are_last=True))
    if is_async and draw(one_in(8)):
        hangs = draw(st.sampled_from(nature.hangs()))
        return Test((), is_async, decorator, hangs, last)
    if is_async and draw(one_in(3)):
        left = draw(nature.leaves())
    code = "async" if is_async else "bridge" if in_engine else "sync"
    may_fail = decorator == "expectedFailure" or draw(one_in(3))
    place = nature.place(code, may_fail=may_fail)
    return Test(draw(steps(place, 5)) + left, is_async, decorator, "", last)


@st.composite
def hooks(draw, name, nature):
    is_async = name.startswith("async")
    if name == "setUpTestData":
        is_async = draw(st.booleans())
    in_test = name in HOOKS_OF_TEST
    is_rolled_back = nature.kind == "rollback"
    place = nature.place(
        "async" if is_async else "bridge" if is_rolled_back else "sync",
        levels=1,
        in_test=in_test,
        may_write=in_test or is_rolled_back,
        may_fail=draw(one_in(4)),
    )
    left = ()
    if name in ("asyncSetUp", "asyncSetUpClass") and draw(one_in(6)):
        left = draw(nature.leaves(are_of_class=not in_test))
    return Hook(draw(steps(place, 2)) + left, is_async)


@st.composite
def classes(draw):
    kind = draw(st.sampled_from(["rollback", "flush"]))
    names = HOOKS_OF_CLASS + HOOKS_OF_TEST
    if kind == "rollback":
        names = [*names, "setUpTestData"]
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
    fate = draw(st.sampled_from(sorted(KINDS)))
    nature = Nature(kind, fate, draw(one_in(4)), tuple(chosen))
    loop_scope = draw(st.sampled_from(["session", "session", "class", "test"]))
    return Class(
        kind=kind,
        loop_scope=loop_scope,
        leftovers=draw(st.sampled_from(["fail", "fail", "cancel", "wait"])),
        fate=fate,
        has_service=loop_scope != "test" and draw(st.booleans()),
        tests=tuple(draw(st.lists(tests(nature), min_size=1, max_size=4))),
        hooks={name: draw(hooks(name, nature)) for name in chosen},
    )


def modules():
    return st.lists(classes(), min_size=1, max_size=2).map(tuple)
