"""
The state of a pool, without any I/O.
"""

from __future__ import annotations

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from django_evergreen.db._options import PoolOptions
from django_evergreen.db._pool import OPEN_ONE, Pool, Pooled


class FakeWaiter:
    """
    A future that can be given a result once, unless it was cancelled or timed out.
    """

    def __init__(self, *earlier):
        self.earlier = earlier
        self.grant = None
        self.has_given_up = False

    def set_result(self, grant):
        assert not self.done()
        assert all(waiter.done() for waiter in self.earlier)
        self.grant = grant

    def done(self):
        return self.has_given_up or self.grant is not None


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def make_pool(**options):
    clock = Clock()
    return Pool(PoolOptions(**options), clock), clock


def test_place_is_granted_while_there_is_one():
    pool, _ = make_pool(max_size=2)
    assert [pool.take(), pool.take(), pool.take()] == [OPEN_ONE, OPEN_ONE, None]


def test_connection_used_last_is_lent_first():
    pool, _ = make_pool(max_size=2)
    pool.take(), pool.take()
    first, second = pool.opened("first"), pool.opened("second")
    pool.give_back(first)
    pool.give_back(second)
    assert pool.take() is second


def test_connection_goes_to_who_has_waited_longest():
    pool, _ = make_pool(max_size=1)
    pool.take()
    pooled = pool.opened("connection")
    waiters = [FakeWaiter(), FakeWaiter()]
    for waiter in waiters:
        pool.enqueue(waiter)
    pool.give_back(pooled)
    assert [waiter.grant for waiter in waiters] == [pooled, None]


def test_late_comer_does_not_barge_in():
    pool, _ = make_pool(max_size=1)
    pool.take()
    pooled = pool.opened("connection")
    waiter = FakeWaiter()
    pool.enqueue(waiter)
    pool.give_back(pooled)
    assert pool.take() is None


def test_place_of_a_lost_connection_goes_to_who_waits():
    pool, _ = make_pool(max_size=1)
    pool.take()
    pooled = pool.opened("connection")
    waiter = FakeWaiter()
    pool.enqueue(waiter)
    pool.discard(pooled)
    assert waiter.grant is OPEN_ONE
    assert pool.size == 1


def test_waiter_cancelled_after_the_hand_over_passes_it_on():
    pool, _ = make_pool(max_size=1)
    pool.take()
    pooled = pool.opened("connection")
    first, second = FakeWaiter(), FakeWaiter()
    pool.enqueue(first)
    pool.enqueue(second)
    pool.give_back(pooled)
    pool.leave(first, first.grant)
    assert second.grant is pooled


def test_old_connection_is_not_lent_again():
    pool, clock = make_pool(max_size=1, max_lifetime=10)
    pool.take()
    pooled = pool.opened("connection")
    pool.give_back(pooled)
    clock.now = 10
    assert pool.take() is OPEN_ONE
    assert pool.take_doomed() == [pooled]


def test_connection_that_grew_old_in_use_is_not_kept():
    pool, clock = make_pool(max_size=1, max_lifetime=10)
    pool.take()
    pooled = pool.opened("connection")
    clock.now = 11
    pool.give_back(pooled)
    assert (pool.size, pool.take_doomed()) == (0, [pooled])


def test_idle_connections_retire_down_to_min_size():
    pool, clock = make_pool(min_size=1, max_size=3, max_idle=5)
    for _ in range(3):
        pool.take()
    connections = [pool.opened(name) for name in "abc"]
    for pooled in connections:
        pool.give_back(pooled)
        clock.now += 1
    assert pool.retire() == 2
    clock.now += 2
    assert pool.retire() == 1
    clock.now += 100
    assert pool.retire() is None
    assert pool.take_doomed() == connections[:2]
    assert pool.size == 1


def test_broken_connection_is_passed_over():
    pool, _ = make_pool(max_size=2)
    pool.is_broken = lambda connection: connection == "broken"
    pool.take(), pool.take()
    fit, broken = pool.opened("fit"), pool.opened("broken")
    pool.give_back(fit)
    pool.give_back(broken)
    assert pool.take() is fit
    assert pool.take_doomed() == [broken]


def test_connection_returned_to_a_pool_that_was_closed_is_doomed():
    pool, _ = make_pool(max_size=1)
    pool.take()
    pooled = pool.opened("connection")
    pool.discard(pooled)
    pool.discard(pooled)
    pool.give_back(pooled)
    assert (pool.size, pool.take_doomed()) == (0, [pooled])


def test_connection_that_was_closed_during_its_hand_over_is_not_passed_on():
    pool, _ = make_pool(max_size=1)
    pool.take()
    pooled = pool.opened("connection")
    waiter = FakeWaiter()
    pool.enqueue(waiter)
    pool.give_back(pooled)
    # The pool is closed before the waiter has run, which is cancelled then.
    pool.discard(pooled)
    pool.leave(waiter, waiter.grant)
    assert (pool.size, list(pool.idle)) == (0, [])
    assert pool.take() is OPEN_ONE


class PoolMachine(RuleBasedStateMachine):
    """
    Any order of events: nothing is lost, nothing doubled, never above max_size,
    and who has waited longest comes first (see FakeWaiter).
    """

    @initialize(max_size=st.integers(1, 4), min_size=st.integers(0, 1))
    def make(self, min_size, max_size):
        self.pool, self.clock = make_pool(
            min_size=min_size, max_size=max_size, max_lifetime=50, max_idle=20
        )
        self.pool.is_broken = self.broken.__contains__

    def __init__(self):
        super().__init__()
        self.names = itertools.count()
        # Who holds what: connections, and places for one that is being opened.
        self.holders, self.opens = [], 0
        # Those in the queue, and those that have a grant and haven't run yet.
        self.waiters = []
        # Connections that were closed, and those closed while they were held.
        self.closed, self.stale, self.broken = set(), [], set()

    def receive(self, grant):
        if grant is OPEN_ONE:
            self.opens += 1
        else:
            assert grant not in self.holders
            assert grant not in self.closed
            self.holders.append(grant)

    # Taking.

    @rule()
    def ask(self):
        grant = self.pool.take()
        if grant is not None:
            self.receive(grant)
        else:
            waiter = FakeWaiter(*self.waiters)
            self.waiters.append(waiter)
            self.pool.enqueue(waiter)

    @rule()
    def ask_for_an_idle_one(self):
        pooled = self.pool.take_idle()
        if pooled is not None:
            assert pooled.connection not in self.broken
            assert self.clock.now < pooled.expires_at
            self.receive(pooled)

    @precondition(lambda self: self.opens)
    @rule()
    def opened(self):
        self.opens -= 1
        self.holders.append(self.pool.opened(next(self.names)))

    @precondition(lambda self: self.opens)
    @rule()
    def failed_to_open(self):
        self.opens -= 1
        self.pool.failed_to_open()

    # Waiting.

    @precondition(lambda self: any(waiter.grant for waiter in self.waiters))
    @rule(data=st.data())
    def resume(self, data):
        granted = [waiter for waiter in self.waiters if waiter.grant]
        waiter = data.draw(st.sampled_from(granted))
        self.waiters.remove(waiter)
        if waiter.grant in self.closed:
            self.stale.append(waiter.grant)
        else:
            self.receive(waiter.grant)

    @precondition(lambda self: not all(w.done() for w in self.waiters))
    @rule(data=st.data())
    def give_up(self, data):
        """
        Cancelled or timed out; leaves the queue when it runs again.
        """
        waiting = [waiter for waiter in self.waiters if not waiter.done()]
        data.draw(st.sampled_from(waiting)).has_given_up = True

    @precondition(lambda self: any(waiter.done() for waiter in self.waiters))
    @rule(data=st.data())
    def leave(self, data):
        """
        Of those that gave up, or were cancelled after the hand-over.
        """
        leaving = [waiter for waiter in self.waiters if waiter.done()]
        waiter = data.draw(st.sampled_from(leaving))
        self.waiters.remove(waiter)
        self.pool.leave(waiter, waiter.grant)

    # Giving back.

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def give_back(self, data):
        self.pool.give_back(self.take_one(data, self.holders))

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def die(self, data):
        pooled = self.take_one(data, self.holders)
        self.pool.discard(pooled)
        self.closed.add(pooled)

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), fit=st.booleans())
    def give_back_what_was_closed(self, data, fit):
        pooled = self.take_one(data, self.stale)
        if fit:
            self.pool.give_back(pooled)
        else:
            self.pool.discard(pooled)

    def take_one(self, data, things):
        thing = data.draw(st.sampled_from(things))
        things.remove(thing)
        return thing

    # What happens to the pool as a whole.

    @rule(seconds=st.sampled_from([1, 15, 60]))
    def time_passes(self, seconds):
        self.clock.now += seconds
        remaining = self.pool.retire()
        assert remaining is None or 0 < remaining <= self.pool.options.max_idle

    @precondition(lambda self: self.pool.idle)
    @rule(data=st.data())
    def break_one(self, data):
        self.broken.add(data.draw(st.sampled_from(list(self.pool.idle))).connection)

    @rule()
    def clear(self):
        self.pool.clear()
        assert not self.pool.idle

    @rule()
    def close(self):
        """
        Who waited is told so, and leaves; what was opened meanwhile is not kept.
        """
        handed_over = [w for w in self.waiters if w.grant]
        for waiter in self.pool.close():
            waiter.has_given_up = True
        assert all(w.done() for w in self.waiters)
        self.closed.update(self.holders, (w.grant for w in handed_over))
        self.closed.discard(OPEN_ONE)
        self.stale += self.holders
        self.holders.clear()
        assert not self.pool.connections()

    @invariant()
    def nothing_is_lost_or_doubled(self):
        pool = self.pool
        self.closed.update(pool.take_doomed())
        granted = [w.grant for w in self.waiters if w.grant is not None]
        handed_over = [
            grant
            for grant in granted
            if isinstance(grant, Pooled) and grant not in self.closed
        ]
        in_use = [*self.holders, *handed_over]
        assert len(set(in_use)) == len(in_use)
        assert set(in_use) == pool.leased
        assert len(set(pool.idle)) == len(pool.idle)
        assert not set(pool.idle) & {*in_use, *self.closed, *self.stale}
        to_open = self.opens + granted.count(OPEN_ONE)
        assert pool.size == len(in_use) + len(pool.idle) + to_open
        assert pool.size <= pool.options.max_size

    @invariant()
    def nobody_waits_for_what_is_free(self):
        if any(not waiter.done() for waiter in self.waiters):
            assert not self.pool.idle
            assert self.pool.size == self.pool.options.max_size


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=150, stateful_step_count=40)
