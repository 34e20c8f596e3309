"""
The statements of a block of an async test, whichever of its tasks, threads and
connections they are of.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from django.test import utils
from django.test.testcases import _AssertNumQueriesContext

from ..bridge import in_bridge, run_sync
from ..bridge._loops import running_loop
from ..db._query_log import listeners
from ..db._wrapper import ScopedWrapper
from ._owners import current_owner


def is_bare_async() -> bool:
    """
    Return whether this is async code, which can't suspend without ``await``.
    """
    return running_loop() is not None and not in_bridge()


# Not what is sent to open a connection: that depends on who has used one before.
_is_logged = property(lambda wrapper: not wrapper.is_opening)


class CaptureQueriesContext(utils.CaptureQueriesContext):
    """
    Same as Django's. In async code it captures what all tasks and threads send to the
    database, by whichever connection of the alias.
    """

    # Whether it does so; in async code, and if it's set.
    is_of_all = False

    def __enter__(self) -> Any:
        self.is_of_all |= is_bare_async()
        # Other engines have one connection for all of the test.
        self.is_of_all &= isinstance(self.connection, ScopedWrapper)
        if not self.is_of_all:
            return super().__enter__()
        self._entries: list[dict[str, str]] = []
        listeners.append(self._listen)
        # For all tasks and threads.
        ScopedWrapper.queries_logged = _is_logged
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.is_of_all:
            self.stop()
        else:
            super().__exit__(*exc_info)

    async def __aenter__(self) -> Any:
        self.is_of_all = True
        return await run_sync(self.__enter__)

    async def __aexit__(self, *exc_info: object) -> None:
        await run_sync(self.__exit__, *exc_info)

    def stop(self) -> None:
        """
        Capture no more, in async code.
        """
        if self._listen in listeners:
            listeners.remove(self._listen)
            if not listeners:
                del ScopedWrapper.queries_logged

    @property
    def captured_queries(self) -> Any:
        return self._entries if self.is_of_all else super().captured_queries

    def _listen(self, alias: str, entry: dict[str, str]) -> None:
        owner = current_owner()
        # A thread that has outlived its test is refused.
        if alias == self.connection.alias and not (owner and owner.is_over):
            self._entries.append(entry)


class AssertNumQueriesContext(_AssertNumQueriesContext, CaptureQueriesContext):
    """
    What ``assertNumQueries()`` returns.
    """

    async def call(
        self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> None:
        """
        Call a sync function in the bridge, or await a coroutine function.
        """
        async with self:
            outcome = await run_sync(func, *args, **kwargs)
            if inspect.isawaitable(outcome):
                await outcome
