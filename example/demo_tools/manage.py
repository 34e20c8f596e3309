"""
``manage.py``, with its output shown as it comes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from demo_tools.processes import running
from demo_tools.steps import StepError

REMEDY = (
    "If the data in example/.data is damaged, delete that directory. "
    "Then run the demo again."
)


def manage(*arguments: str, environment: Mapping[str, str]) -> None:
    """
    Run one command of Django's, on evergreen: sync code is at home there too.
    """
    command = [sys.executable, "manage.py", *arguments]
    with running(command, {**environment, "EXAMPLE_STACK": "evergreen"}) as process:
        status = process.wait()
    if status:
        failed = f"'manage.py {' '.join(arguments)}' ended with exit code {status}"
        reason = f"{failed}. Its own words are above."
        raise StepError(reason, REMEDY)
