"""
The end of a test: what it has started finishes, or is stopped, or left behind.

Steps, each with a deadline: wait for what the test has started; cancel the rest; let
what ignores that never run again. Only then the database is reset.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from ..db._scopes import forsake_scope
from ._closing import cancel
from ._deadline import CANCEL_TIMEOUT
from ._executors import Job
from ._leftovers import (
    Leftover,
    generators_of,
    handles_of,
    of_coroutine,
    of_generator,
    of_job,
    of_plain_thread,
    of_task,
    plain_threads_of,
)
from ._owners import Owner
from ._unawaited import collect_young

logger = logging.getLogger("django_evergreen.test")

# Seconds to wait for what a test has left over, by its policy.
DRAIN_TIMEOUTS = {"fail": 1.0, "wait": 60.0, "cancel": 0.0}

# Seconds between two looks at what tells nobody when it ends: first, at most.
LOOK_FIRST, LOOK_LAST = 0.0005, 0.05


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
            and not self._jobs()
            and not any(handles_of(self._owner, self._engine.loop))
        )

    async def settle(self) -> Outcome:
        """
        Bring all of the owner's work to an end. Takes no longer than the policy's
        deadlines. Suspends: yes.
        """
        outcome = Outcome(is_forgiven=self._policy.leftovers != "fail")
        began = time.monotonic()
        await asyncio.sleep(0)
        if self._has_nothing():
            self._owner.is_over = True
            return outcome
        await self._drain()
        outcome.waited = time.monotonic() - began
        await self._stop(outcome)
        self._collect_errors(outcome)
        self._owner.is_over = not self._allowed
        return outcome

    # Waiting.

    async def _drain(self) -> None:
        deadline = time.monotonic() + self._policy.patience
        delay = LOOK_FIRST
        while (left := deadline - time.monotonic()) > 0:
            self._allow()
            tasks, jobs = self._tasks(), self._jobs()
            silent = bool(self._threads()) or self._has_timer_due(left)
            if not (tasks or jobs or silent):
                return
            waits: list[Any] = [*tasks, *(asyncio.wrap_future(j.future) for j in jobs)]
            timeout = min(left, delay) if silent else left
            delay = min(2 * delay, LOOK_LAST)
            if waits:
                await asyncio.wait(waits, timeout=timeout)
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
        for thread in plain_threads_of(self._owner):
            if of_plain_thread(thread).matches(self._policy.allowed):
                self._allowed.add(thread)

    def _tasks(self) -> list[asyncio.Task[Any]]:
        return [task for task in self._owner.tasks if task not in self._allowed]

    def _jobs(self) -> list[Job]:
        engine, owner = self._engine, self._owner
        return [
            *engine.in_threads.unfinished_of(owner),
            *engine.in_one_thread.unfinished_of(owner),
        ]

    def _threads(self) -> list[threading.Thread]:
        threads = plain_threads_of(self._owner)
        return [thread for thread in threads if thread not in self._allowed]

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
        self._allow()
        for leftover, end in list(handles_of(self._owner, self._engine.loop)):
            if not leftover.matches(self._policy.allowed):
                end()
                outcome.leftovers.append(_ended(leftover, "was removed"))
        await self._stop_tasks(outcome)
        self._abandon_threads(outcome)
        await self._close_generators(outcome)
        outcome.leftovers += map(of_coroutine, self._owner.closed_loudly)
        if self._owner.closed_loudly:
            outcome.is_forgiven = False

    async def _stop_tasks(self, outcome: Outcome) -> None:
        # What is cancelled may start others.
        deadline = time.monotonic() + self._policy.cancel_timeout
        seen: set[Any] = set()
        while tasks := self._tasks():
            found = {t: of_task(t, self._owner.tasks[t]) for t in tasks}
            left = max(0.0, deadline - time.monotonic())
            # Nobody starts another one then.
            self._owner.is_over = not left
            stubborn = await cancel(tasks, left)
            for task, leftover in found.items():
                if task in stubborn:
                    outcome.is_forgiven = False
                    self._bury(task)
                if task not in seen:
                    seen.add(task)
                    outcome.leftovers.append(_ended(leftover, _fate(task, stubborn)))

    def _bury(self, task: asyncio.Task[Any]) -> None:
        self._owner.tasks.pop(task, None)
        forsake_scope(task)

    def _abandon_threads(self, outcome: Outcome) -> None:
        for executor in (self._engine.in_threads, self._engine.in_one_thread):
            for job in list(executor.unfinished_of(self._owner)):
                outcome.leftovers.append(_ended(of_job(job), "could not be stopped"))
                outcome.is_forgiven = False
                executor.abandon(job)
        for thread in self._threads():
            outcome.is_forgiven = False
            leftover = _ended(of_plain_thread(thread), "could not be stopped")
            outcome.leftovers.append(leftover)
            if self._owner.outer is not None:
                # It's not the class's.
                self._owner.outer.threads_before.add(thread)

    async def _close_generators(self, outcome: Outcome) -> None:
        for generator in generators_of(self._owner):
            leftover = of_generator(generator)
            if leftover.matches(self._policy.allowed):
                continue
            outcome.leftovers.append(leftover)
            closing = asyncio.ensure_future(generator.aclose())
            await asyncio.wait([closing], timeout=self._policy.cancel_timeout)
            if not closing.done():
                await cancel([closing], 0.0)
                outcome.is_forgiven = False
            self._owner.tasks.pop(closing, None)

    # Errors.

    def _collect_errors(self, outcome: Outcome) -> None:
        for task, site in self._owner.failed.items():
            if not getattr(task, "_log_traceback", False):
                # Somebody has looked at it meanwhile.
                continue
            error = task.exception()
            assert error is not None
            error.add_note(
                f"Raised by the task {task.get_name()!r}, started at {site}, which "
                "nobody has awaited."
            )
            outcome.errors.append(error)
        for details in self._owner.messages:
            error = details.get("exception") or RuntimeError(details.get("message"))
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
