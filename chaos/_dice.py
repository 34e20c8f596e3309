"""
Chance, repeatable: each worker has dice of its own, drawn from the seed.
"""

from __future__ import annotations

import random


class Dice(random.Random):
    """
    Made from the seed and a name, so that no worker depends on another's draws.
    """

    def __init__(self, seed, name):
        super().__init__(f"{seed}/{name}")

    def happens(self, probability):
        return self.random() < probability

    def moment(self):
        """
        Return the seconds until something is disturbed: mostly few, rarely many.
        """
        mean = self.choice([0.001, 0.005, 0.02, 0.1])
        return min(self.expovariate(1 / mean), 1.0)
