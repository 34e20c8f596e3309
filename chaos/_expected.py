"""
The closed list of errors that a program may end with. Any other is a violation.
"""

from __future__ import annotations

import asyncio
import re

from django.db import (
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)
from django.db.transaction import TransactionManagementError

from django_evergreen.db import TransactionEnded, TransactionRolledBack


class Sabotage(ValueError):
    """
    The program error: raised by the programs themselves.
    """


class Violation(AssertionError):
    """
    A program has seen something that must not be.
    """


def ensure(condition, text):
    """
    Raise a :class:`Violation` unless the condition holds.
    """
    if not condition:
        raise Violation(text)


# A statement was cancelled, but not the task that waited for it: somebody
# else's cancellation came late.
STRAY_CANCEL = re.compile("due to user request|^interrupted$")
# What Django says of a block that goes on after a failed statement.
BROKEN_BLOCK = re.compile("An error occurred in the current transaction")
# What Django says of a block whose connection was lost.
LOST_IN_BLOCK = re.compile("Cannot open a new connection in an atomic block")
# What PostgreSQL says of a failed statement's transaction.
ABORTED = re.compile("current transaction is aborted")


def is_expected(error, cancelled):
    """
    Tell it of one error, which is no group. ``cancelled``: the exceptions by which
    the program was interrupted from outside.
    """
    text = str(error)
    match error:
        case Sabotage() | IntegrityError() | TransactionEnded() | InterfaceError():
            return True
        case TransactionRolledBack():
            return True
        case OperationalError():
            return not STRAY_CANCEL.search(text)
        case TransactionManagementError():
            return bool(BROKEN_BLOCK.search(text))
        case ProgrammingError():
            return bool(LOST_IN_BLOCK.search(text))
        case InternalError():
            return bool(ABORTED.search(text))
        case asyncio.CancelledError() | TimeoutError():
            return isinstance(error, cancelled)
    return False


def leaves(error):
    """
    Return the errors of a group, and of the groups in it.
    """
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for part in error.exceptions for leaf in leaves(part)]


def label(error):
    """
    Return the class of an error and what tells its kind, without names and numbers.
    """
    lines = str(error).strip().splitlines()
    kind = re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "…", lines[0] if lines else "")
    return f"{type(error).__name__}: {kind}"[:90].rstrip(": ")
