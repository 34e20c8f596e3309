"""
Runs a sync method and its a-twin on the same data, and compares what they did.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connection, models, transaction

from django_evergreen.bridge import await_, run_sync

# A salt and the present time.
DIFFERENT_EACH_TIME = {"date_joined", "last_login", "password"}


def a_methods(owner):
    """
    Return the names of the public a-methods that have a sync twin.
    """
    names = []
    for name in dir(owner):
        if not name.startswith("a") or not hasattr(owner, name[1:]):
            continue
        # Managers wrap the methods of their QuerySet.
        method = inspect.unwrap(getattr(owner, name))
        is_async = inspect.iscoroutinefunction(method)
        if is_async or inspect.isasyncgenfunction(method):
            names.append(name)
    return names


@dataclass
class Outcome:
    result: Any
    sql: list[str]


def normal(value):
    """
    Return a value that is equal for equal rows, whatever their keys.
    """
    if isinstance(value, models.Model):
        fields = {
            field.attname: getattr(value, field.attname)
            for field in value._meta.concrete_fields
            if not field.primary_key and field.attname not in DIFFERENT_EACH_TIME
        }
        return type(value).__name__, fields
    if isinstance(value, dict):
        # The keys of in_bulk() are those of the rows, the same for both.
        return {normal(key): normal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [normal(item) for item in value]
    if isinstance(value, models.QuerySet):
        return [normal(item) for item in value]
    if isinstance(value, str):
        # What explain() says of times and addresses differs from run to run.
        return re.sub(r"\d+", "N", value)
    return value


async def collect(generator):
    return [item async for item in generator]


def perform(call: Callable[[], Any]) -> Outcome:
    """
    Make a call in a transaction that is rolled back; in the bridge.
    """
    with transaction.atomic():
        connection.force_debug_cursor = True
        connection.queries_log.clear()
        try:
            result = call()
            if inspect.isasyncgen(result):
                result = await_(collect(result))
            elif inspect.isawaitable(result):
                result = await_(result)
            elif inspect.isgenerator(result):
                result = list(result)
            result = normal(result)
        finally:
            connection.force_debug_cursor = False
        sql = [re.sub(r"\d+", "N", query["sql"]) for query in connection.queries_log]
        transaction.set_rollback(True)
    return Outcome(result, sql)


async def assert_twins(make_owner, name, arguments=lambda: (), *, same_sql=True):
    """
    Assert that an a-method and its sync twin give the same result by the same SQL.
    """

    def both():
        outcomes = []
        for twin in (name[1:], name):
            owner, (args, kwargs) = make_owner(), split(arguments())
            outcomes.append(perform(lambda: getattr(owner, twin)(*args, **kwargs)))
        return outcomes

    expected, seen = await run_sync(both)
    assert seen.result == expected.result, name
    if same_sql:
        assert seen.sql == expected.sql, name
    return seen


def split(arguments):
    """
    Return positional and keyword arguments, the latter in a dict at the end.
    """
    *args, last = arguments or (None,)
    if not arguments:
        return (), {}
    if isinstance(last, dict) and last.pop("kwargs", False):
        return args, last
    return (*args, last), {}
