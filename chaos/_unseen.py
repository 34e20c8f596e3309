"""
Errors that are raised where nobody is, and warnings: violations as well.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import threading
import traceback
import warnings


@contextlib.contextmanager
def errors_nobody_sees(report):
    """
    Record them for the time of the block.
    """
    handler = Recorder(report)
    logger = logging.getLogger("django_evergreen")
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = lambda unraisable: unraised(report, unraisable)
    threading.excepthook = lambda args: record(report, "A thread", args.exc_value)
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
            gc.collect()
    finally:
        logger.removeHandler(handler)
        sys.unraisablehook, threading.excepthook = hooks


def unraised(report, unraisable):
    where = f"{unraisable.err_msg or 'Ignored in'}: {unraisable.object!r}"
    record(report, where, unraisable.exc_value)


def record(report, where, error):
    details = "".join(traceback.format_exception(error))
    report.violation(f"{where} raised what nobody sees.", details)


class Recorder(logging.Handler):
    """
    Counts what django-evergreen logs.
    """

    def __init__(self, report):
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record):
        self._report.event(f"times logged: {record.name}: {record.msg}")
