"""
What stands in for ``sync_to_async`` at Django's own call sites.

Django wraps its sync methods in ``sync_to_async`` where their only blocking wait
is the database or the cache. In the bridge they need no thread.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from asgiref.sync import markcoroutinefunction
from asgiref.sync import sync_to_async as in_thread

from ..bridge import run_sync
from ._patch import Patch
from .async_to_sync import has_sync_parent

# Whether to run a function in the bridge rather than in a thread.
Rule = Callable[[Any], bool]


def always(fn: Any) -> bool:
    return True


def call_sites(
    module: str, rule: Rule = always, *, run: Any = run_sync, **options: Any
) -> Patch:
    """
    Return the patch for a module's uses of ``sync_to_async``.
    """
    make = partial(_make, rule, run)
    return Patch(module, "sync_to_async", make, **options)


def _make(rule: Rule, run: Any, original: Any) -> Callable[..., Any]:
    """
    Return a ``sync_to_async`` that avoids the thread where ``rule`` allows.
    """

    def sync_to_async(
        fn: Any = None, *, thread_sensitive: bool = True, **options: Any
    ) -> Any:
        if fn is None:
            return partial(sync_to_async, thread_sensitive=thread_sensitive, **options)
        if rule is always and thread_sensitive and not has_sync_parent.get():
            # Called at once, in this context, and often: the shortest way.
            return partial(run, fn)
        if not thread_sensitive or not rule(fn):
            return in_thread(fn, thread_sensitive=thread_sensitive, **options)
        call: Any = markcoroutinefunction(partial(_call, fn))
        if hasattr(fn, "__self__"):
            # As asgiref does: Django names the class of a hook that returns None.
            call.__self__ = fn.__self__
        return call

    return sync_to_async


def _call(fn: Any, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
    if has_sync_parent.get():
        # Called from sync code through async_to_sync(): that thread waits and
        # does the work, on its own connection and in its own transaction.
        return in_thread(fn)(*args, **kwargs)
    return run_sync(fn, *args, **kwargs)
