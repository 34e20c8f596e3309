"""
Starts runs, as many at once as there may be, and shows how far they are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tqdm import tqdm

from ._run import Run

MAX_AT_ONCE = 2
# Seconds between two looks, and between two lines where they are kept in a log.
LOOK_INTERVAL = 0.5
LOG_INTERVAL = 60.0


def perform(runs: Sequence[Run]) -> None:
    """
    Let all runs come to their ends.
    """
    waiting = list(runs)
    active: list[tuple[Run, tqdm[None]]] = []
    try:
        while waiting or active:
            while waiting and len(active) < MAX_AT_ONCE:
                run = waiting.pop(0)
                run.start()
                active.append((run, _bar(run)))
            time.sleep(LOOK_INTERVAL)
            for run, bar in tuple(active):
                _show(run, bar)
                run.stop_if_stalled()
                if run.has_ended():
                    bar.close()
                    active.remove((run, bar))
    finally:
        for run, bar in active:
            run.stop()
            bar.close()


def _bar(run: Run) -> tqdm[None]:
    interval = 0.5 if sys.stderr.isatty() else LOG_INTERVAL
    return tqdm(
        desc=f"{run.environment.database} {run.environment.mode}",
        unit=" tests",
        mininterval=interval,
        maxinterval=interval,
        dynamic_ncols=True,
    )


def _show(run: Run, bar: tqdm[None]) -> None:
    records = run.records
    bar.total = records.total or None
    bar.update(len(records.outcomes) - bar.n)
