"""
Stock Django and evergreen, side by side on this machine: ``make demo``.

The same project, the same async view, the same server and the same load; on SQLite,
and then on a PostgreSQL server that the demo brings along. It takes about a minute.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console

from demo_tools.figures import Figures, measure
from demo_tools.load_generator import CLIENTS, SECONDS
from demo_tools.manage import manage
from demo_tools.postgresql import embedded_postgresql
from demo_tools.server import serving
from demo_tools.steps import StepError, Steps
from demo_tools.table import comparison

NEXT = """
What next:
  make serve    open the example in a browser
  make test     run the tests
"""
# Whatever the shell says.
SETTINGS = {"DJANGO_SETTINGS_MODULE": "atlas.settings", "EXAMPLE_DEBUG": "0"}
PACKAGES = ["Django", "psycopg", "uvicorn", "uvloop", "httptools"]
ERRORS = "Some requests failed: each first error is above."


class Demo:
    """
    Everything the demo does, in order.
    """

    def __init__(self) -> None:
        self._console = Console()
        self._steps = Steps(self._console)
        self._errors = 0

    def run(self) -> int:
        """
        Return the exit code.
        """
        self._introduce()
        try:
            self._sqlite()
            self._postgresql()
        except StepError as failure:
            self._steps.report(failure)
            return 1
        except KeyboardInterrupt:
            self._steps.say("Interrupted. All that the demo started is stopped.")
            return 130
        if self._errors:
            self._steps.say(ERRORS)
        self._console.print(NEXT)
        return 1 if self._errors else 0

    def _introduce(self) -> None:
        self._steps.say(", ".join(_versions()) + f", {os.cpu_count()} CPUs")

    def _sqlite(self) -> None:
        self._compare("SQLite", {**SETTINGS, "EXAMPLE_DATABASE": "sqlite"})

    def _postgresql(self) -> None:
        with ExitStack() as stack:
            with self._steps.step("PostgreSQL: start a temporary server"):
                server = stack.enter_context(embedded_postgresql())
            environment = {**SETTINGS, "EXAMPLE_DATABASE": "postgresql", **server}
            self._compare("PostgreSQL", environment)

    def _compare(self, database: str, environment: Mapping[str, str]) -> None:
        """
        Fill the database, measure both stacks on it, and print the table.
        """
        with self._steps.step(f"{database}: make the tables"):
            manage("migrate", "--verbosity=0", environment=environment)
        with self._steps.step(f"{database}: load the places"):
            manage("load_places", environment=environment)
        stock = self._measure(database, "stock", environment)
        evergreen = self._measure(database, "evergreen", environment)
        title = f"{database}: {CLIENTS} clients on one async view"
        self._console.print("", comparison(title, stock, evergreen), "")

    def _measure(
        self, database: str, stack: str, environment: Mapping[str, str]
    ) -> Figures:
        name = f"{database}: {CLIENTS} clients for {SECONDS:.0f} s on {stack}"
        with self._steps.step(name):
            with serving({**environment, "EXAMPLE_STACK": stack}) as server:
                figures = measure(server)
            self._steps.say(str(figures))
        self._errors += figures.errors
        return figures


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    for name in PACKAGES:
        # uvicorn takes the last two where they are installed, for both stacks.
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


def _stop_on_sigterm(*_: object) -> None:
    # As Ctrl-C does, so that nothing is left running.
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop_on_sigterm)
    sys.exit(Demo().run())
