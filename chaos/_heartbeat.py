"""
Notices when something holds the event loop, and shows what it was.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback

from tests.heartbeat import seconds_without_a_core

INTERVAL = 0.02
# The longest pause of the loop that is not a violation, in seconds. Long, because
# on a busy machine any thread may be stopped while it holds the interpreter's lock.
LONGEST = 3.0
# A loop that doesn't come back: the run ends here, with the stacks of all threads.
DEAD = 60.0


class Heartbeat:
    """
    A task that beats and a thread that listens, for the time of the block.
    """

    def __init__(self, report):
        self._report = report
        self._last = time.monotonic()
        # The stack of the loop's thread while it was held.
        self._stack = ""
        self._stop = threading.Event()
        self._loop_thread = threading.get_ident()

    async def __aenter__(self):
        self._thread = threading.Thread(target=self._listen, name="heartbeat")
        self._thread.start()
        self._task = asyncio.create_task(self._beat(), name="heartbeat")
        return self

    async def __aexit__(self, *exc_info):
        self._stop.set()
        self._thread.join()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _beat(self):
        while True:
            self._stack, self._last = "", time.monotonic()
            waited = seconds_without_a_core()
            await asyncio.sleep(INTERVAL)
            late = time.monotonic() - self._last - INTERVAL
            late -= seconds_without_a_core() - waited
            self._report.largest_pause = max(self._report.largest_pause, late)
            if late > LONGEST:
                self._report.violation(
                    f"The loop was held for {late:.2f} s", self._stack
                )

    def _listen(self):
        while not self._stop.wait(INTERVAL):
            held = time.monotonic() - self._last
            if held > LONGEST * 0.8 and not self._stack:
                frame = sys._current_frames()[self._loop_thread]
                self._stack = "".join(traceback.format_stack(frame))
            if held > DEAD:
                self._die()

    def _die(self):
        for thread, frame in sys._current_frames().items():
            print(f"\nThread {thread}:", file=sys.stderr)
            traceback.print_stack(frame)
        print(f"The loop was held for {DEAD:.0f} s. Giving up.", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)
