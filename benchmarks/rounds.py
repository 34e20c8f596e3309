"""
Rounds, in which the ways that are compared take turns.
"""

from __future__ import annotations


def rotated(ways, number):
    """
    Return the ways in another order each round: who comes first pays for cold caches.
    """
    first = number % len(ways)
    return ways[first:] + ways[:first]
