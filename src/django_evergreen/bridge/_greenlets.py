"""
The greenlets that run synchronous code, and where they rest.

Guarantees:

- A resting greenlet holds no reference to its last job: no function,
  argument, result, exception or context.
- A job never sees the greenlet machinery in its traceback.
- A greenlet is reused only in the thread that made it.

Making a greenlet costs an ``mmap`` and a ``munmap`` of its stack, several
times the price of a switch; that is why they are kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from ._loops import Hub

# How many resting greenlets a thread keeps. More than this run at once only in
# bursts, and a burst may pay for its own stacks.
MAX_RESTING = 64

# What a greenlet switches out when its job is over. Anything else is an
# awaitable that its driver awaits for it.
DONE: Any = object()


class BridgeGreenlet(greenlet):
    """
    Runs one job after another; see :func:`_work`.
    """

    # A resting greenlet has all of these at their defaults.
    result: Any = None
    raised: BaseException | None = None
    # The hub of the event loop that drives the current job.
    hub: Hub | None = None
    # Called before the job waits for something that is not the database, and
    # when it ends. The database layer gives its connection back here.
    on_idle: Callable[[], None] | None = None
    # Called instead of suspending, with the awaitable; raises. None: go ahead.
    refusal: Callable[[Any], None] | None = None
    # Decides what a cancellation does to the statements that end a block; of the
    # database layer, as is on_idle.
    finishing: Any = None
    # The job was closed while it was suspended: its driver finds nothing to
    # resume, and the greenlet has no further job.
    closed: bool = False


class _Resting(threading.local):
    """
    The greenlets of the current thread that have no job.
    """

    def __init__(self) -> None:
        self.greenlets: list[BridgeGreenlet] = []


_resting = _Resting()


def acquire() -> BridgeGreenlet:
    """
    Return a greenlet without a job, with the caller's contextvars.
    """
    greenlets = _resting.greenlets
    if greenlets:
        g = greenlets.pop()
    else:
        g = BridgeGreenlet(_work)
        # Without a job, as what a greenlet is started with stays referenced.
        g.switch()
    # A greenlet has contextvars of its own; sharing the context object makes
    # changes visible both ways.
    g.gr_context = getcurrent().gr_context
    return g


def release(g: BridgeGreenlet) -> None:
    """
    Take back a greenlet whose job is over, cleared of every trace of it.
    """
    g.result = g.raised = g.hub = g.on_idle = g.refusal = g.finishing = None
    if g.dead or g.closed:
        return
    g.gr_context = None
    greenlets = _resting.greenlets
    if len(greenlets) < MAX_RESTING:
        greenlets.append(g)


def _work() -> None:
    """
    Run jobs for ever: the body of every bridge greenlet.

    No local variable may refer to the greenlet itself while it rests: the
    garbage collector can't see a suspended stack, so that cycle would live for
    ever.
    """
    while True:
        job = getcurrent().parent.switch(DONE)  # type: ignore[union-attr]
        _perform(*job)
        del job


def _perform(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    handled: BaseException | None,
) -> None:
    """
    Run one job and leave its result or its error on the greenlet.

    The error is stored and not raised, because a ``GreenletExit`` that leaves
    a greenlet is returned to its parent instead of being raised there.
    """
    g: Any = getcurrent()
    try:
        if handled is None:
            g.result = fn(*args, **kwargs)
        else:
            g.result = call_while_handling(handled, fn, args, kwargs)
    except BaseException as error:
        # Trim this frame.
        traceback = error.__traceback__
        error.__traceback__ = traceback and traceback.tb_next
        g.raised = error


def call_while_handling(
    handled: BaseException,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """
    Call ``fn`` as from inside the caller's ``except`` block.

    A greenlet starts without the exception that its caller is handling, but
    Django's error handlers ask ``sys.exc_info()`` for it.
    """
    traceback = handled.__traceback__
    try:
        raise handled  # noqa: TRY301  (makes it the one that is being handled)
    except BaseException:
        handled.__traceback__ = traceback
        return fn(*args, **kwargs)
