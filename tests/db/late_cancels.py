"""
Does a late cancellation ever end the next statement of the same connection?

A cancellation travels on a connection of its own, so it may arrive when the
statement that it was meant for has ended. Used directly and through PgBouncer.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter

from django.db import connection, transaction

from django_evergreen.bridge import run_sync

# Seconds that a statement takes on the server.
DURATION = 0.001


async def cancel_at_random(loops, *, workers, seed):
    """
    Cancel statements at random moments, each followed at once by another one on
    its connection, which must get through and be answered with its own rows.

    ``workers`` tasks share the work; the pool must have as many connections.
    Returns how often a statement was "cancelled" and how often it was "done".
    """
    outcomes = Counter()
    numbers = iter(range(loops))
    await asyncio.gather(
        *(_work(numbers, random.Random(seed + n), outcomes) for n in range(workers))
    )
    return outcomes


async def _work(numbers, rng, outcomes):
    pairs = (_in_autocommit, _in_transactions, _in_one_transaction)
    # Where the moments are densest: it follows the end of the statement, as that
    # is when a cancellation is likely to be late.
    centre = DURATION
    for number in numbers:
        delay = abs(rng.gauss(centre, centre / 4))
        outcome = await run_sync(rng.choice(pairs), number, delay)
        outcomes[outcome] += 1
        centre *= 1.05 if outcome == "cancelled" else 0.95


def _in_autocommit(number, delay):
    with connection.cursor() as cursor:
        outcome = _cancel_in(contextlib.nullcontext(), cursor, delay)
        _next_statement(cursor, number)
    return outcome


def _in_transactions(number, delay):
    """
    The next statements are the ROLLBACK and one in another transaction.
    """
    with connection.cursor() as cursor:
        outcome = _cancel_in(transaction.atomic(), cursor, delay)
        with transaction.atomic():
            _next_statement(cursor, number)
    return outcome


def _in_one_transaction(number, delay):
    """
    The next statement is in the same transaction: with PgBouncer, on the same
    connection of the server, too.
    """
    with connection.cursor() as cursor, transaction.atomic():
        outcome = _cancel_in(transaction.atomic(), cursor, delay)
        _next_statement(cursor, number)
    return outcome


def _cancel_in(block, cursor, delay):
    task = asyncio.current_task()
    try:
        with block, _cancelled_after(delay, task):
            cursor.execute("SELECT pg_sleep(%s)", [DURATION])
    except asyncio.CancelledError:
        task.uncancel()
        return "cancelled"
    return "done"


@contextlib.contextmanager
def _cancelled_after(delay, task):
    canceller = asyncio.create_task(_cancel_after(delay, task))
    try:
        yield
    finally:
        canceller.cancel()


async def _cancel_after(delay, task):
    # Event loops have timers of a millisecond, which is as long as the statement.
    at = time.perf_counter() + delay
    while time.perf_counter() < at:
        await asyncio.sleep(0)
    task.cancel()


def _next_statement(cursor, number):
    cursor.execute("SELECT %s::int, pg_sleep(%s)", [number, DURATION])
    assert [row[0] for row in cursor.fetchall()] == [number]
