"""
Which classes are given the base, and in what order.
"""

from __future__ import annotations

import logging
import pickle
from unittest import IsolatedAsyncioTestCase

from django.test import SimpleTestCase, TestCase

from django_evergreen.test import AsyncTestMixin
from django_evergreen.test._adoption import adopt, adopt_tests, is_async


def make_classes():
    class Base(SimpleTestCase):
        async def test_base(self):
            pass

    class Derived(Base):
        async def test_derived(self):
            pass

    return Base, Derived


def count_mixin(cls):
    return cls.__mro__.count(AsyncTestMixin)


def test_base_after_what_inherits_from_it():
    base, derived = make_classes()
    adopt(derived)
    assert count_mixin(base) == 0
    assert count_mixin(derived) == 1
    adopt(base)
    assert count_mixin(base) == count_mixin(derived) == 1
    assert derived.__bases__ == (base,)
    assert base.__bases__ == (AsyncTestMixin, SimpleTestCase)


def test_any_order_in_a_suite_and_again():
    base, derived = make_classes()
    tests = [derived("test_derived"), base("test_base"), derived("test_base")]
    adopt_tests(tests)
    adopt_tests(tests)
    assert derived.__bases__ == (base,)
    assert base.__bases__ == (AsyncTestMixin, SimpleTestCase)


def test_subclass_made_later_has_it():
    base, _ = make_classes()
    adopt(base)

    class Later(base):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()

    assert count_mixin(Later) == 1
    assert Later.__dict__["setUpClass"].__func__.runs_in_engine


def test_what_is_not_adopted():
    class Sync(TestCase):
        def test_sync(self):
            pass

    class Isolated(IsolatedAsyncioTestCase, SimpleTestCase):
        async def test_async(self):
            pass

    bases = Sync.__bases__, Isolated.__bases__
    adopt_tests([Sync("test_sync"), Isolated("test_async")])
    assert (Sync.__bases__, Isolated.__bases__) == bases


def test_async_hooks_count():
    class Hooks(TestCase):
        @classmethod
        async def setUpTestData(cls):
            pass

    assert is_async(Hooks)
    assert not is_async(TestCase)


class Meta(type):
    def mro(cls):
        mro = super().mro()
        if AsyncTestMixin in mro:
            raise TypeError("no more bases")
        return mro


class Closed(SimpleTestCase, metaclass=Meta):
    async def test_async(self):
        pass


def test_class_that_accepts_no_base_stays_as_it_is(caplog):
    bases = Closed.__bases__
    with caplog.at_level(logging.WARNING, "django_evergreen.test"):
        adopt(Closed)
    assert Closed.__bases__ == bases
    (record,) = caplog.records
    assert "test_adoption.Closed runs its async tests in Django's way" in (
        record.getMessage()
    )
    assert "no more bases" in record.getMessage()


class Pickled(SimpleTestCase):
    async def test_async(self):
        pass


def test_adopted_tests_are_pickled():
    test = Pickled("test_async")
    adopt_tests([test])
    again = pickle.loads(pickle.dumps(test))
    assert type(again) is Pickled
    assert again.id() == test.id()
