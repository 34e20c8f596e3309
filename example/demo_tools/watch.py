"""
Watching a process from outside: its threads and its CPU time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

INTERVAL = 0.05


@dataclass
class Watch:
    """
    The samples taken so far: (seconds since the epoch, threads, CPU seconds).
    """

    samples: list[tuple[float, int, float]] = field(default_factory=list)

    @property
    def peak_threads(self) -> int:
        return max(threads for _, threads, _ in self.samples)

    def cpu_between(self, began: float, ended: float) -> float:
        """
        Return the CPU seconds used in the meantime.
        """
        cpu = [cpu for at, _, cpu in self.samples if began <= at <= ended]
        return cpu[-1] - cpu[0]


@contextmanager
def watching(pid: int) -> Iterator[Watch]:
    """
    Sample the process until the end of the block.
    """
    watch, done = Watch(), threading.Event()
    thread = threading.Thread(target=_sample, args=(pid, watch, done))
    thread.start()
    try:
        yield watch
    finally:
        done.set()
        thread.join()


def _sample(pid: int, watch: Watch, done: threading.Event) -> None:
    process = psutil.Process(pid)
    while not done.wait(INTERVAL):
        try:
            with process.oneshot():
                cpu = process.cpu_times()
                used = cpu.user + cpu.system
                watch.samples.append((time.time(), process.num_threads(), used))
        except psutil.Error:
            # It is gone. Whoever talks to it will say why.
            return
