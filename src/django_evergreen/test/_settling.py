"""
The end of a test: what it has started finishes, or is stopped, or left behind.

Steps, each with a deadline: wait for what the test has started; cancel the rest; let
what ignores that never run again. Only then the database is reset.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from dataclasses import dataclass, field
from typing import Any

from ..db._scopes import forsake_scope
from ._blocks import left_blocks, roll_back_left_blocks
from ._clock import now
from ._closing import cancel
from ._deadline import CANCEL_TIMEOUT
from ._handles import handles_of
from ._leftovers import (
    Leftover,
    generators_of,
    name_of,
    of_coroutine,
    of_generator,
    of_task,
    serves_thread,
)
from ._other_loops import note_use
from ._owners import Owner
from ._threads import LOOK_FIRST, LOOK_LAST, Threads, Work, has_ended
from ._unawaited import collect_young

logger = logging.getLogger("django_evergreen.test")

# Seconds to wait for what a test has left over, by its policy.
DRAIN_TIMEOUTS = {"fail": 1.0, "wait": 60.0, "cancel": 0.0}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """
    What to do about leftovers.
    """

    # "fail", "wait" or "cancel".
    leftovers: str = "fail"
    # Seconds. None: the policy's own.
    drain_timeout: float | None = None
    cancel_timeout: float = CANCEL_TIMEOUT
    # Names; see Leftover.matches().
    allowed: tuple[str, ...] = ()

    @property
    def patience(self) -> float:
        if self.drain_timeout is not None:
            return self.drain_timeout
        return DRAIN_TIMEOUTS[self.leftovers]


@dataclass
class Outcome:
    """
    What was found at the end of a test.
    """

    leftovers: list[Leftover] = field(default_factory=list)
    # Those that don't fail the test, as they could be ended.
    is_forgiven: bool = False
    # Exceptions that nobody has seen.
    errors: list[BaseException] = field(default_factory=list)
    # Seconds.
    waited: float = 0.0


class Settling:
    """
    The end of one test or class.
    """

    def __init__(self, engine: Any, owner: Owner, policy: Policy) -> None:
        self._engine = engine
        self._owner = owner
        self._policy = policy
        self._threads = Threads(engine, owner)
        note_use(engine.loop, owner)
        # What goes on with permission: tasks and threads.
        self._allowed: set[Any] = set()

    def is_quiet(self) -> bool:
        """
        Return whether there is nothing to do, as mostly. Quick. Suspends: no.
        """
        collect_young()
        # What call_soon() was given; also, generators that were dropped are closed by
        # tasks which start then. Loops that don't tell have to make a turn.
        has_callbacks = getattr(self._engine.loop, "_ready", True)
        return not has_callbacks and self._has_nothing()

    def _has_nothing(self) -> bool:
        return (
            self._owner.started_nothing()
            and not self._threads.jobs()
            and not any(handles_of(self._owner, self._engine.loop))
            and not any(left_blocks(self._engine, self._owner))
        )

    async def settle(self) -> Outcome:
        """
        Bring all of the owner's work to an end. Takes no longer than the policy's
        deadlines. Suspends: yes.
        """
        outcome = Outcome(is_forgiven=self._policy.leftovers != "fail")
        began = now()
        await asyncio.sleep(0)
        if self._has_nothing():
            self._owner.is_over = True
            return outcome
        await self._drain()
        outcome.waited = now() - began
        await self._stop(outcome)
        self._collect_errors(outcome)
        self._owner.is_over = not self._allowed
        await roll_back_left_blocks(self._engine, self._owner)
        await self._threads.take_connections(self._allowed)
        return outcome

    # Waiting.

    async def _drain(self) -> None:
        deadline = now() + self._policy.patience
        delay = LOOK_FIRST
        while (left := deadline - now()) > 0:
            self._allow()
            tasks = self._tasks()
            silent = self._threads.at_work(self._allowed) or self._has_timer_due(left)
            if not (tasks or silent):
                return
            timeout = min(left, delay) if silent else left
            delay = min(2 * delay, LOOK_LAST)
            if tasks:
                await asyncio.wait(tasks, timeout=timeout)
            else:
                await asyncio.sleep(timeout)

    def _allow(self) -> None:
        """
        Find what is allowed to go on.
        """
        if not self._policy.allowed:
            return
        for task, started in self._owner.tasks.items():
            if of_task(task, started).matches(self._policy.allowed):
                self._allowed.add(task)
        for work, leftover in self._threads.describe(self._allowed).items():
            if leftover.matches(self._policy.allowed):
                self._allowed.add(work)

    def _tasks(self) -> list[asyncio.Task[Any]]:
        tasks = self._owner.unended_tasks()
        return [task for task in tasks if task not in self._allowed]

    def _has_timer_due(self, seconds: float) -> bool:
        loop = self._engine.loop
        for timer in getattr(loop, "_scheduled", ()):
            if timer.when() - loop.time() < seconds and any(
                end == timer.cancel for _, end in handles_of(self._owner, loop)
            ):
                return True
        return False

    # Stopping.

    async def _stop(self, outcome: Outcome) -> None:
        deadline = now() + self._policy.cancel_timeout
        self._allow()
        self._remove_handles(outcome)
        found = self._threads.describe(self._allowed)
        if found:
            self._threads.break_off_statements(self._allowed)
        await self._stop_tasks(outcome, deadline)
        await self._stop_threads(outcome, found, deadline)
        await self._close_generators(outcome)
        outcome.leftovers += map(of_coroutine, self._owner.closed_loudly)
        if self._owner.closed_loudly:
            outcome.is_forgiven = False

    def _remove_handles(self, outcome: Outcome) -> None:
        for leftover, end in list(handles_of(self._owner, self._engine.loop)):
            if not leftover.matches(self._policy.allowed):
                end()
                outcome.leftovers.append(_ended(leftover, "was removed"))

    async def _stop_tasks(self, outcome: Outcome, deadline: float) -> None:
        # What is cancelled may start others.
        seen: set[Any] = set()
        while tasks := self._tasks():
            found = {t: of_task(t, self._owner.tasks[t]) for t in tasks}
            left = max(0.0, deadline - now())
            # Nobody starts another one then.
            self._owner.is_over = not left
            stubborn = await cancel(tasks, left)
            self._owner.is_over = False
            for task, leftover in found.items():
                if task in stubborn:
                    outcome.is_forgiven = False
                    self._bury(task)
                if task not in seen and not serves_thread(leftover.created_at):
                    seen.add(task)
                    outcome.leftovers.append(_ended(leftover, _fate(task, stubborn)))

    def _bury(self, task: asyncio.Task[Any]) -> None:
        self._owner.tasks.pop(task, None)
        forsake_scope(task)

    async def _stop_threads(
        self, outcome: Outcome, found: dict[Work, Leftover], deadline: float
    ) -> None:
        asked = [work for work, leftover in found.items() if leftover.sql]
        await self._threads.wait_for(asked, deadline)
        # With those that what was cancelled has started.
        for work, leftover in (self._threads.describe(self._allowed) | found).items():
            if not has_ended(work):
                fate = self._threads.leave(work)
                outcome.is_forgiven = False
            elif work in asked:
                fate = "ended when its statement was cancelled"
            else:
                fate = "ended too late"
            outcome.leftovers.append(_ended(leftover, fate))

    async def _close_generators(self, outcome: Outcome) -> None:
        for generator, begun_at in generators_of(self._owner):
            leftover = of_generator(generator, begun_at)
            if not leftover.matches(self._policy.allowed):
                fate = await self._close(generator, outcome)
                outcome.leftovers.append(_ended(leftover, fate))

    async def _close(self, generator: Any, outcome: Outcome) -> str:
        closing = asyncio.ensure_future(generator.aclose())
        await asyncio.wait([closing], timeout=self._policy.cancel_timeout)
        self._owner.tasks.pop(closing, None)
        if closing.done():
            if not closing.cancelled() and (error := closing.exception()) is not None:
                error.add_note(f"Raised by closing {generator!r}.")
                outcome.errors.append(error)
            return "was closed"
        outcome.is_forgiven = False
        if await cancel([closing], 0.0):
            self._bury(closing)
            # The loop would try it again.
            getattr(self._engine.loop, "_asyncgens", set()).discard(generator)
        return "took too long to close"

    # Errors.

    def _collect_errors(self, outcome: Outcome) -> None:
        for task, site in self._owner.failed.items():
            if not getattr(task, "_log_traceback", False):
                # Somebody has looked at it meanwhile.
                continue
            error = task.exception()
            assert error is not None
            error.add_note(
                f"Raised by the task {name_of(task)!r}, started at {site}, which "
                "nobody has awaited."
            )
            outcome.errors.append(error)
        for details in self._owner.messages:
            error = details.get("exception") or RuntimeError(details.get("message"))
            if not any(error is known for known in outcome.errors):
                error.add_note(f"Reported by the event loop: {details.get('message')}")
                outcome.errors.append(error)
        self._owner.failed.clear()
        self._owner.messages.clear()


def _ended(leftover: Leftover, outcome: str) -> Leftover:
    return dataclasses.replace(leftover, outcome=outcome)


def _fate(task: asyncio.Task[Any], stubborn: set[Any]) -> str:
    if task in stubborn:
        return "ignored its cancellation, and will never be resumed"
    if task.cancelled():
        return "was cancelled"
    return "was cancelled, and ended in its own way"
