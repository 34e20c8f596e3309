"""
What a run did, and what it found.
"""

from __future__ import annotations

import re
import time
import traceback
from collections import Counter, defaultdict

from ._expected import is_expected, label, leaves

# Kinds of violations that are shown, each by its first one.
SHOWN = 15
# What differs between violations of a kind.
PARTICULARS = re.compile(r"0x[0-9a-f]+|[\w.]*\d[\w.]*|'[^']*'|\[.*?\]")


class Report:
    """
    Counts, and collects violations.
    """

    def __init__(self):
        self._started = time.monotonic()
        # By program and outcome.
        self.outcomes = Counter()
        # What was done to them: kills, restarts and so on.
        self.events = Counter()
        # By kind.
        self.violations = defaultdict(list)
        self.largest_pause = 0.0

    def event(self, name):
        self.events[name] += 1

    def outcome(self, program, outcome):
        self.outcomes[program, outcome] += 1

    def check(self, where, error, cancelled=()):
        """
        Record an error, which is a violation unless it's expected.
        """
        for leaf in leaves(error):
            if not is_expected(leaf, cancelled):
                lines = traceback.format_exception(error)
                self.violation(f"{where} raised what nobody expects.", "".join(lines))
                return

    def failed(self, program, error):
        self.outcome(program, " + ".join(sorted({label(e) for e in leaves(error)})))

    def loop_error(self, loop, context):
        """
        Record what asyncio hands to the exception handler of a loop.
        """
        error = context.get("exception")
        details = "".join(traceback.format_exception(error)) if error else repr(context)
        self.violation(f"The event loop: {context['message']}", details)

    def violation(self, text, details=""):
        at = time.monotonic() - self._started
        # The error of a traceback; else what was found.
        error = details.strip().rpartition("\n")[2]
        kind = PARTICULARS.sub("", error or text.partition("\n")[0])
        self.violations[kind].append(f"[{at:.1f} s] {text}\n{details}".rstrip())

    def lines(self):
        """
        Yield the summary.
        """
        yield from self._programs()
        yield ""
        yield from self._errors()
        yield ""
        for name, count in sorted(self.events.items()):
            yield f"{count:8} {name}"
        yield f"{self.largest_pause * 1000:8.0f} ms was the largest pause of the loop"
        for alike in list(self.violations.values())[:SHOWN]:
            yield f"\nVIOLATION ({len(alike)} of this kind) {alike[0]}"
        if len(self.violations) > SHOWN:
            yield f"\n... and {len(self.violations) - SHOWN} more kinds."

    def _programs(self):
        attempts, done = Counter(), Counter()
        for (program, outcome), count in self.outcomes.items():
            attempts[program] += count
            done[program] += count * (outcome == "done")
        yield f"{'attempts':>8} {'done':>8}  program"
        for program in sorted(attempts):
            yield f"{attempts[program]:8} {done[program]:8}  {program}"

    def _errors(self):
        errors = Counter()
        for (_, outcome), count in self.outcomes.items():
            errors[outcome] += count
        yield f"{'times':>8}  outcome"
        for outcome, count in errors.most_common():
            yield f"{count:8}  {outcome}"
