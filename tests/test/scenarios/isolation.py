"""
What tests do to the database, and how it is before the next one.
"""

from __future__ import annotations

import asyncio
import contextvars

from asgiref.sync import sync_to_async
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError

from django_evergreen.bridge import run_sync
from django_evergreen.db import new_connections
from django_evergreen.test import AsyncTestCase, AsyncTransactionTestCase
from tests.app.models import Author, Book, Tag

variable = contextvars.ContextVar("variable", default="unset")


class Isolation:
    async def check_clean(self):
        self.assertEqual(await Author.objects.acount(), 0)
        self.assertEqual(await Book.objects.acount(), 0)
        self.assertEqual(await Tag.objects.acount(), 0)
        self.assertEqual(variable.get(), "unset")

    async def test_a_gathered_writes(self):
        async def write(name):
            author = await Author.objects.acreate(name=name)
            async with transaction.atomic():
                await Book.objects.acreate(title=name, author=author)
            return author

        authors = await asyncio.gather(*(write(str(n)) for n in range(5)))
        self.assertEqual(len({author.pk for author in authors}), 5)
        self.assertEqual(await Book.objects.acount(), 5)

    test_b_clean = check_clean

    async def test_c_code_that_commits(self):
        async with transaction.atomic(durable=True):
            await Author.objects.acreate(name="async")

        @transaction.atomic
        def commit():
            Author.objects.create(name="sync")

        await run_sync(commit)
        await sync_to_async(commit)()
        self.assertEqual(await Author.objects.acount(), 3)

    test_d_clean = check_clean

    async def test_e_error_caught_outside_of_an_inner_block(self):
        await Tag.objects.acreate(name="tag")
        with self.assertRaises(IntegrityError):
            async with transaction.atomic():
                await Tag.objects.acreate(name="tag")
        self.assertEqual(await Tag.objects.acount(), 1)

    test_f_clean = check_clean

    async def test_g_new_connections(self):
        await Author.objects.acreate(name="before")
        async with new_connections():
            self.assertEqual(await Author.objects.acount(), 1)
            await Author.objects.acreate(name="inside")
        self.assertEqual(await Author.objects.acount(), 2)

    test_h_clean = check_clean

    async def test_i_task_without_a_context(self):
        variable.set("of the test")
        await Author.objects.acreate(name="x")
        task = asyncio.create_task(
            Author.objects.acount(), context=contextvars.Context()
        )
        self.assertEqual(await task, 1)

    test_j_clean = check_clean

    async def test_k_statement_that_was_cancelled(self):
        await Author.objects.acreate(name="x")
        task = asyncio.create_task(Author.objects.acreate(name="cancelled"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    test_l_clean = check_clean


class Rollback(Isolation, AsyncTestCase):
    async def test_m_deferred_constraint_is_checked_at_the_end(self):
        await Book.objects.acreate(title="of nobody", author_id=12345)

    test_n_clean = Isolation.check_clean

    async def test_o_error_without_an_inner_block(self):
        await Tag.objects.acreate(name="tag")
        with self.assertRaises(IntegrityError):
            await Tag.objects.acreate(name="tag")
        with self.assertRaises(TransactionManagementError):
            await Tag.objects.acount()

    test_p_clean = Isolation.check_clean

    async def test_q_explicit_commit_is_refused(self):
        await Author.objects.acreate(name="x")
        with self.assertRaises(TransactionManagementError):
            await run_sync(transaction.commit)
        self.assertTrue(connection.in_atomic_block)

    test_r_clean = Isolation.check_clean


class Flush(Isolation, AsyncTransactionTestCase):
    async def test_m_explicit_commit(self):
        def commit():
            transaction.set_autocommit(False)
            Author.objects.create(name="x")
            transaction.commit()
            transaction.set_autocommit(True)

        await run_sync(commit)
        self.assertEqual(await Author.objects.acount(), 1)

    test_n_clean = Isolation.check_clean

    async def test_o_transaction_that_is_left_open(self):
        def begin():
            transaction.set_autocommit(False)
            Author.objects.create(name="x")

        await run_sync(begin)

    test_p_clean = Isolation.check_clean
