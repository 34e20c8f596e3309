"""
Django's assertions and blocks, in async tests.

What is a block works as ``async with``, too. What does its I/O in a call has a twin
whose name begins with ``a``, to be awaited. For anything else there is
``await run_sync(self.assertSomething, ...)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from ..bridge import await_, in_bridge, run_sync
from ..db._commit_hooks import as_given
from ..exceptions import NotInBridge
from ._queries import AssertNumQueriesContext, is_bare_async
from ._twins import AssertionTwins


class AsyncBlock:
    """
    A context manager, also for ``async with``: it's entered and left in the bridge.
    """

    # For whoever makes one without calling __init__(), as pickle does.
    _block: Any = None

    def __init__(self, block: Any) -> None:
        self._block = block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._block, name)

    def __enter__(self) -> Any:
        return self._block.__enter__()

    def __exit__(self, *exc_info: object) -> Any:
        return self._block.__exit__(*exc_info)

    async def __aenter__(self) -> Any:
        return await run_sync(self.__enter__)

    async def __aexit__(self, *exc_info: object) -> Any:
        return await run_sync(self.__exit__, *exc_info)


class CommitCallbacks(AsyncBlock):
    """
    What ``captureOnCommitCallbacks()`` returns.
    """

    _is_async = False

    def __init__(self, block: Any, execute: bool) -> None:
        super().__init__(block)
        self._execute = execute

    def __enter__(self) -> Any:
        if is_bare_async():
            self._is_async = True
            if self._execute:
                msg = (
                    "`with captureOnCommitCallbacks(execute=True)` can't wait for the "
                    "callbacks in async code. Write `async with`."
                )
                raise NotInBridge(msg)
        self._callbacks: list[Any] = super().__enter__()
        return self._callbacks

    def __exit__(self, *exc_info: object) -> Any:
        try:
            return super().__exit__(*exc_info)
        finally:
            if self._is_async:
                # Async code awaits them, if it calls them by itself.
                self._callbacks[:] = map(as_given, self._callbacks)

    async def __aenter__(self) -> Any:
        self._is_async = True
        return await super().__aenter__()


class AsyncAssertions(AssertionTwins):
    """
    The part of :class:`~._cases.AsyncTestMixin` that is about assertions.
    """

    def settings(self, **kwargs: Any) -> Any:
        """
        Same as Django's, also as ``async with``: receivers of ``setting_changed`` may
        query then. ``override_settings()`` itself works as ``with`` and as a decorator.
        """
        return AsyncBlock(super().settings(**kwargs))  # type: ignore[misc]

    def modify_settings(self, **kwargs: Any) -> Any:
        """
        Same as Django's, also as ``async with``.
        """
        return AsyncBlock(super().modify_settings(**kwargs))  # type: ignore[misc]

    def assertTemplateUsed(self, *args: Any, **kwargs: Any) -> Any:
        """
        Same as Django's, also as ``async with``.
        """
        block = super().assertTemplateUsed(*args, **kwargs)  # type: ignore[misc]
        return block and AsyncBlock(block)

    def assertTemplateNotUsed(self, *args: Any, **kwargs: Any) -> Any:
        """
        Same as Django's, also as ``async with``.
        """
        block = super().assertTemplateNotUsed(*args, **kwargs)  # type: ignore[misc]
        return block and AsyncBlock(block)

    @classmethod
    def captureOnCommitCallbacks(
        cls, *, using: str = DEFAULT_DB_ALIAS, execute: bool = False
    ) -> Any:
        """
        Same as Django's, also as ``async with``, which awaits coroutine functions. In
        async code, ``execute=True`` needs that.
        """
        capture = super().captureOnCommitCallbacks  # type: ignore[misc]
        return CommitCallbacks(capture(using=using, execute=execute), execute)

    def assertNumQueries(
        self,
        num: int,
        func: Callable[..., Any] | None = None,
        *args: Any,
        using: str = DEFAULT_DB_ALIAS,
        **kwargs: Any,
    ) -> Any:
        """
        Same as Django's, also as ``async with``. In async tests it counts what all
        tasks and threads send to the database. With ``func``, sync or async, it's to
        be awaited in async code.
        """
        context: Any = AssertNumQueriesContext(self, num, connections[using])
        if is_bare_async() or self._has_async_method():
            context.is_of_all = True
            # For a test that is broken off, and doesn't leave the block.
            self.addCleanup(context.stop)  # type: ignore[attr-defined]
        if func is None:
            return context
        if is_bare_async():
            return context.call(func, args, kwargs)
        with context:
            outcome = func(*args, **kwargs)
            if in_bridge() and inspect.isawaitable(outcome):
                await_(outcome)
        return None

    def _has_async_method(self) -> bool:
        method = getattr(self, self._testMethodName)  # type: ignore[attr-defined]
        # Django has wrapped it for sync callers.
        method = getattr(method, "awaitable", method)
        return inspect.iscoroutinefunction(inspect.unwrap(method))

    # Subtests.

    def __getstate__(self) -> Any:
        """
        Same as Django's, which sends the test to the runner of ``--parallel`` with each
        subtest that fails, but without what refers to the test again.
        """
        mine = vars(self)
        is_running = mine.get("_outcome")
        names = (self._testMethodName, "_evergreen_test", "_cleanups")  # type: ignore[attr-defined]
        hidden = {name: mine.pop(name) for name in names if is_running and name in mine}
        try:
            return super().__getstate__()
        finally:
            mine.update(hidden)
