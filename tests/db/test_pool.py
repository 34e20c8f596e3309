"""
The state of a pool, without any I/O.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from django_evergreen.db._options import PoolOptions
from django_evergreen.db._pool import OPEN_ONE, Pool, Pooled


class FakeWaiter:
    """
    A future that can be given a result once, or cancelled.
    """

    def __init__(self):
        self.grant = None
        self.cancelled = False

    def set_result(self, grant):
        assert not self.done()
        self.grant = grant

    def done(self):
        return self.cancelled or self.grant is not None


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


class PoolMachine(RuleBasedStateMachine):
    """
    Any order of events: nothing is lost, nothing doubled, never above max_size.
    """

    def __init__(self):
        super().__init__()
        self.pool, self.clock = make_pool(max_size=3, max_lifetime=50, max_idle=20)
        self.holders, self.opens, self.waiters, self.closed = [], 0, [], []
        self.names = iter(range(10**9))

    def receive(self, grant):
        if grant is OPEN_ONE:
            self.opens += 1
        else:
            assert grant not in self.holders
            assert grant not in self.closed
            self.holders.append(grant)

    @rule()
    def ask(self):
        grant = self.pool.take()
        if grant is not None:
            self.receive(grant)
        else:
            waiter = FakeWaiter()
            self.waiters.append(waiter)
            self.pool.enqueue(waiter)

    @rule()
    def opened(self):
        if self.opens:
            self.opens -= 1
            self.holders.append(self.pool.opened(next(self.names)))

    @rule()
    def failed_to_open(self):
        if self.opens:
            self.opens -= 1
            self.pool.failed_to_open()

    @rule(data=st.data())
    def give_back(self, data):
        if self.holders:
            self.pool.give_back(self.take_one(data, self.holders))

    @rule(data=st.data())
    def die(self, data):
        if self.holders:
            pooled = self.take_one(data, self.holders)
            self.pool.discard(pooled)
            self.closed.append(pooled)

    @rule(data=st.data())
    def cancel(self, data):
        if self.waiters:
            waiter = self.take_one(data, self.waiters)
            # Either before the hand-over, or in its very tick.
            if waiter.grant is None:
                waiter.cancelled = True
            self.pool.leave(waiter, waiter.grant)

    @rule(data=st.data())
    def resume(self, data):
        granted = [waiter for waiter in self.waiters if waiter.grant is not None]
        if granted:
            waiter = data.draw(st.sampled_from(granted))
            self.waiters.remove(waiter)
            self.receive(waiter.grant)

    @rule(seconds=st.sampled_from([1, 15, 60]))
    def time_passes(self, seconds):
        self.clock.now += seconds
        self.pool.retire()

    @rule()
    def clear(self):
        self.pool.clear()

    def take_one(self, data, things):
        thing = data.draw(st.sampled_from(things))
        things.remove(thing)
        return thing

    @invariant()
    def nothing_is_lost_or_doubled(self):
        pool = self.pool
        self.closed += pool.take_doomed()
        granted = [w.grant for w in self.waiters if w.grant is not None]
        handed_over = [grant for grant in granted if isinstance(grant, Pooled)]
        in_use = [*self.holders, *handed_over]
        assert len(set(map(id, in_use))) == len(in_use)
        assert set(map(id, in_use)) == set(map(id, pool.leased))
        assert not set(map(id, pool.idle)) & set(map(id, in_use))
        to_open = self.opens + granted.count(OPEN_ONE)
        assert pool.size == len(in_use) + len(pool.idle) + to_open
        assert pool.size <= pool.options.max_size
        if any(not waiter.done() for waiter in self.waiters):
            assert not pool.idle
            assert pool.size == pool.options.max_size


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=100, stateful_step_count=40)
