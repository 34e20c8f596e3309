"""
What is done with the ledger, by Django's models, and what must always be true.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection
from django.db.models import F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from django_evergreen.bridge import run_sync

from .ledger.models import Account, Transfer

ACCOUNTS = 40
INITIAL = 300


@dataclass(frozen=True)
class Order:
    """
    A transfer that is to be made.
    """

    token: str
    source: int
    target: int
    amount: int


def open_accounts():
    """
    Return the primary keys.
    """
    return [
        Account.objects.create(name=f"account {n}", balance=INITIAL).pk
        for n in range(ACCOUNTS)
    ]


# The three statements of a transfer. Two without the third break the ledger.


def debit(order):
    Account.objects.filter(pk=order.source).update(balance=F("balance") - order.amount)


def credit(order):
    Account.objects.filter(pk=order.target).update(balance=F("balance") + order.amount)


def enter(order):
    Transfer.objects.create(
        source_id=order.source,
        target_id=order.target,
        amount=order.amount,
        token=order.token,
    )


async def adebit(order):
    accounts = Account.objects.filter(pk=order.source)
    await accounts.aupdate(balance=F("balance") - order.amount)


async def acredit(order):
    accounts = Account.objects.filter(pk=order.target)
    await accounts.aupdate(balance=F("balance") + order.amount)


async def aenter(order):
    await Transfer.objects.acreate(
        source_id=order.source,
        target_id=order.target,
        amount=order.amount,
        token=order.token,
    )


LEGS = (debit, credit, enter)
ASYNC_LEGS = (adebit, acredit, aenter)


def transfer(order):
    for leg in LEGS:
        leg(order)


async def atransfer(order):
    for leg in ASYNC_LEGS:
        await leg(order)


async def alock(pks):
    """
    Lock accounts in the order given.
    """
    for pk in pks:
        await Account.objects.select_for_update().aget(pk=pk)


def query(sql, *params):
    """
    Return the first row of a raw query.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone() if cursor.description else None


async def aquery(sql, *params):
    return await run_sync(query, sql, *params)


# The invariants.


def discrepancies(book):
    """
    Yield what's wrong with the ledger. In a transaction that sees a snapshot.
    """
    total = Account.objects.aggregate(total=Sum("balance"))["total"]
    if total != ACCOUNTS * INITIAL:
        yield f"The sum of all balances is {total} and not {ACCOUNTS * INITIAL}."
    for account in accounts_in_disagreement():
        difference = account.balance - account.expected
        yield (
            f"{account} has {difference:+} against its transfers. Suspects:"
            + "".join(
                f"\n  {suspect}" for suspect in book.suspects(account.pk, difference)
            )
        )


def accounts_in_disagreement():
    amounts = Coalesce(Subquery(_sum("received", "target")), 0)
    amounts -= Coalesce(Subquery(_sum("sent", "source")), 0)
    accounts = Account.objects.annotate(expected=INITIAL + amounts)
    return accounts.exclude(balance=F("expected"))


def _sum(name, side):
    transfers = Transfer.objects.filter(**{side: OuterRef("pk")})
    return (
        transfers.order_by().values(side).annotate(**{name: Sum("amount")}).values(name)
    )


def all_tokens():
    return list(Transfer.objects.values_list("token", flat=True))
