"""
A test runner: ``TEST_RUNNER = "django_evergreen.test.runner.DiscoverRunner"``.

Runs the async tests of a project's existing classes on the engine, too. All else is
as with Django's runner.
"""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.test import runner

from ._adoption import adopt_tests
from ._baseline import Baseline
from ._classes import SCOPES
from ._dropping import free_databases
from ._engine import close_all
from ._exiting import exit_without_threads, has_threads
from ._ledger import keeping_ledger
from ._options import Options, using_options
from ._parallel import AsyncParallelTestSuite
from ._results import DebugSQL, noting_leftovers
from ._settling import DRAIN_TIMEOUTS

logger = logging.getLogger("django_evergreen.test")

# Those of this runner, by the names of what it's called with.
_OPTIONS: dict[str, dict[str, Any]] = {
    "leftovers": {
        "choices": list(DRAIN_TIMEOUTS),
        "help": "What to do about tasks, threads and the like that a test leaves over: "
        "fail the test (the default), wait for them, or just cancel them.",
    },
    "drain_timeout": {
        "type": float,
        "metavar": "SECONDS",
        "help": "How long to wait for leftovers of a test.",
    },
    "cancel_timeout": {
        "type": float,
        "metavar": "SECONDS",
        "help": "How long what was cancelled may take to end.",
    },
    "test_timeout": {
        "type": float,
        "metavar": "SECONDS",
        "help": "How long an async test may take.",
    },
    "loop_scope": {
        "choices": list(SCOPES),
        "help": "How long an event loop lives: for the whole session (the default), a "
        "class or a test.",
    },
}


class DiscoverRunner(runner.DiscoverRunner):
    """
    Django's runner, with an event loop for async tests.
    """

    parallel_test_suite = AsyncParallelTestSuite

    def __init__(
        self, *args: Any, leftovers_baseline: Any = None, **kwargs: Any
    ) -> None:
        told = {name: kwargs.pop(name, None) for name in _OPTIONS}
        super().__init__(*args, **kwargs)
        if leftovers_baseline:
            told["baseline"] = Baseline.read(Path(leftovers_baseline))
        self.options = Options(**{k: v for k, v in told.items() if v is not None})

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        for name, settings in _OPTIONS.items():
            parser.add_argument(f"--{name.replace('_', '-')}", **settings)
        parser.add_argument(
            "--leftovers-baseline",
            metavar="FILE",
            help="Forgive the leftovers that FILE lists. If there is no FILE it's "
            "written, with all that this run finds.",
        )

    def build_suite(self, *args: Any, **kwargs: Any) -> Any:
        suite = super().build_suite(*args, **kwargs)
        adopt_tests(suite)
        if isinstance(suite, AsyncParallelTestSuite):
            suite.tell_workers(self.options)
        return suite

    def get_test_runner_kwargs(self) -> Any:
        kwargs = super().get_test_runner_kwargs()
        resultclass = kwargs["resultclass"] or self.test_runner.resultclass
        if resultclass is not None:
            mixins = [DebugSQL] if self.debug_sql else []
            kwargs["resultclass"] = noting_leftovers(resultclass, *mixins)
        return kwargs

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        with using_options(self.options):
            return super().run_suite(suite, **kwargs)

    def run_tests(self, *args: Any, **kwargs: Any) -> Any:
        failures = 1
        try:
            with keeping_ledger():
                failures = super().run_tests(*args, **kwargs)
        finally:
            if has_threads():
                exit_without_threads(int(bool(failures)))
        return failures

    def teardown_databases(self, old_config: Any, **kwargs: Any) -> None:
        close_all()
        if not self.keepdb:
            for message in free_databases(old_config, self.parallel):
                self.log(message, level=logging.WARNING)
                logger.info(message)
        super().teardown_databases(old_config, **kwargs)

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> int:
        baseline = self.options.baseline
        if baseline is not None:
            found = [leftover for _, leftover in getattr(result, "leftovers", ())]
            is_complete = not result.shouldStop
            self.log(baseline.conclude(found, is_complete=is_complete))
        failures: int = super().suite_result(suite, result, **kwargs)
        # A run that Ctrl-C has stopped is no success, for whatever runs it.
        return failures or int(result.shouldStop)
