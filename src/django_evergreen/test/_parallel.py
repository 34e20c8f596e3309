"""
--parallel: each worker has an engine of its own, for the same classes.

Under fork a worker finds all as the runner has left it. Under spawn and forkserver it
imports the classes anew, so they are adopted there, too.
"""

from __future__ import annotations

import functools
from contextvars import Context, copy_context
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from typing import Any

from django.test.runner import ParallelTestSuite, _run_subsuite

from ._adoption import adopt_tests
from ._engine import close_all
from ._exiting import exit_without_threads
from ._ledger import keeping_ledger
from ._options import Options, using_options
from ._results import RemoteRunner


def run_subsuite(args: Any) -> Any:
    """
    Do what Django's function of the same name does, in a worker.
    """
    _prepare_worker()
    _, _, subsuite, _, _ = args
    adopt_tests(subsuite)
    with using_options(subsuite.evergreen_options), keeping_ledger():
        return _run_subsuite(args)


@functools.cache
def _prepare_worker() -> None:
    # What atexit knows is not called in a worker.
    Finalize(None, close_all, exitpriority=100)
    exit_without_threads(0)


def _renew_context(context: Context) -> Any:
    return copy_context, ()


# An IsolatedAsyncioTestCase keeps one, of the moment in which it was made.
ForkingPickler.register(Context, _renew_context)


class AsyncParallelTestSuite(ParallelTestSuite):
    """
    Django's suite of --parallel, whose workers have engines.
    """

    runner_class = RemoteRunner
    run_subsuite = run_subsuite

    def tell_workers(self, options: Options) -> None:
        """
        Send the options along with the tests.
        """
        for subsuite in self.subsuites:
            subsuite.evergreen_options = options
