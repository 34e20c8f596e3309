"""
A client of redis-py's asyncio, as sync code in the bridge sees it.

It looks like the sync client: a command returns its answer, and suspends until
that is there. Pipelines queue as usual, and suspend in ``execute()``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from types import CoroutineType
from typing import Any, Self

from ..bridge import await_


class Bridged:
    """
    An object of ``redis.asyncio`` whose coroutine functions suspend.

    What they return is given back as it is, except for objects of redis-py:
    pipelines, locks, subscriptions and scripts are made the same way.

    Suspends: where the object has something to await. Runs in: sync code in the
    bridge.
    """

    __slots__ = ("_object",)

    def __init__(self, obj: Any) -> None:
        self._object = obj

    def __repr__(self) -> str:
        return f"<Bridged {self._object!r}>"

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._object, name)
        return partial(self._call, value) if callable(value) else value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(self._object, *args, **kwargs)

    def __enter__(self) -> Self:
        await_(self._object.__aenter__())
        return self

    def __exit__(self, *exc_info: object) -> None:
        await_(self._object.__aexit__(*exc_info))

    def __len__(self) -> int:
        return len(self._object)

    def __bool__(self) -> bool:
        # As pipelines are: an empty one too.
        return True

    def _call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if type(result) is CoroutineType:
            # A command, whose answer is data.
            return await_(result)
        if result is self._object:
            return self
        if isinstance(result, AsyncIterator):
            return _iterate(result)
        if type(result).__module__.startswith(("redis.asyncio", "redis.commands")):
            return Bridged(result)
        return result


def _iterate(items: AsyncIterator[Any]) -> Iterator[Any]:
    end = object()
    while (item := await_(anext(items, end))) is not end:
        yield item
