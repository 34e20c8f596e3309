"""
The least that async tests can cost: sync tests, each with a task that waits once.
"""

from __future__ import annotations

import asyncio

from django.contrib.auth.models import Group
from django.test import TestCase

from ..turns import Turns
from .classes import make_classes

loop = asyncio.new_event_loop()
turns = Turns(loop)


def tearDownModule():
    turns.close()
    loop.close()


async def wait():
    await turns.wait()


def test(self):
    assert Group.objects.count() == 1
    loop.run_until_complete(wait())


globals().update(make_classes(TestCase, test))
