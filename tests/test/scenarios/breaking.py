"""
Tests that would break the run, or one after them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from django.db import transaction

from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author

kept = []


async def be_stubborn():
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


class Breaking:
    drain_timeout = 0.05
    cancel_timeout = 0.2

    async def check_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)
        await Author.objects.acreate(name="x")

    async def test_a_exit_in_a_task(self):
        async def leave():
            sys.exit(3)

        kept.append(asyncio.create_task(leave(), name="leaving"))
        await asyncio.sleep(0.01)
        await Author.objects.acreate(name="x")

    test_b_clean = check_clean

    async def test_c_exit_in_a_callback(self):
        asyncio.get_running_loop().call_soon(sys.exit, 3)
        await asyncio.sleep(0.01)
        await Author.objects.acreate(name="x")

    test_d_clean = check_clean

    async def test_e_exit_in_the_body(self):
        await Author.objects.acreate(name="x")
        sys.exit(3)

    test_f_clean = check_clean

    async def test_g_stopped_loop(self):
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)
        await Author.objects.acreate(name="x")

    test_h_clean = check_clean

    async def test_i_cancelled_body(self):
        await Author.objects.acreate(name="x")
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    test_j_clean = check_clean

    async def test_k_stubborn_task_in_a_transaction(self):
        async def write():
            async with transaction.atomic(), transaction.atomic():
                await Author.objects.acreate(name="x")
                begun.set()
                await be_stubborn()

        begun = asyncio.Event()
        kept.append(asyncio.create_task(write(), name="in transaction"))
        await begun.wait()

    test_l_clean = check_clean

    async def test_m_coroutine_kept_alive(self):
        kept.append(Author.objects.acreate(name="x"))

    async def test_n_clean(self):
        kept.clear()
        await self.check_clean()

    async def test_o_generator_that_waits_for_ever(self):
        await self.begin(asyncio.sleep(3600))

    test_p_clean = check_clean

    async def test_q_generator_that_is_stubborn(self):
        await self.begin(be_stubborn())

    test_r_clean = check_clean

    async def test_s_generator_that_raises(self):
        await self.begin(self.fail_in_generator())

    test_t_clean = check_clean

    async def begin(self, at_the_end):
        async def generate():
            try:
                yield 1
            finally:
                await at_the_end

        generator = generate()
        kept.append(generator)
        await anext(generator)

    async def fail_in_generator(self):
        raise ValueError("in the generator")


class Rollback(Breaking, AsyncTestCase):
    pass


class Flush(Breaking, AsyncTransactionTestCase):
    pass
