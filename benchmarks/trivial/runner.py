"""
The test runner of each stack, which also says how long the tests took.
"""

from __future__ import annotations

import os
import sys
import time

if os.environ["BENCHMARK_STACK"] == "evergreen":
    from django_evergreen.test.runner import DiscoverRunner
else:
    from django.test.runner import DiscoverRunner


class TimingRunner(DiscoverRunner):
    def run_suite(self, suite, **kwargs):
        wall, cpu = time.perf_counter(), time.process_time()
        result = super().run_suite(suite, **kwargs)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"Timed: {wall:.4f} s, {cpu:.4f} s of CPU", file=sys.stderr)
        return result
