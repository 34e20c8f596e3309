"""
What workers do: each program is an async function of a :class:`Teller`.
"""

from __future__ import annotations

from . import blocks, callbacks, reads, sessions, tasks, threads

# How often each is drawn.
EVERYWHERE = {
    blocks.ordered: 6,
    blocks.unordered: 2,
    blocks.decorated: 2,
    blocks.nested: 4,
    blocks.rolled_back: 1,
    blocks.reused_token: 1,
    blocks.broken_block: 1,
    blocks.abandoned: 1,
    tasks.gathered: 4,
    tasks.grouped: 4,
    tasks.nested_siblings: 4,
    tasks.outlives_its_block: 2,
    tasks.waits_for_its_own_child: 1,
    threads.sync_in_bridge: 4,
    threads.in_threads: 3,
    threads.offloaded: 2,
    threads.thread_outlives_its_block: 1,
    callbacks.on_commit: 4,
    callbacks.outside: 1,
    sessions.audit_beside: 2,
    sessions.innocent: 1,
    reads.in_parallel: 2,
    reads.abandoned_iteration: 2,
    reads.iteration_in_block: 1,
}
POSTGRESQL = {
    sessions.transfer_beside: 2,
    sessions.held: 2,
    reads.slow: 2,
    reads.timeout_in_block: 1,
}


def draw_program(dice, world):
    programs = EVERYWHERE | (POSTGRESQL if world.is_postgresql else {})
    if world.only:
        programs = {p: 1 for p in programs if p.__name__ in world.only}
    return dice.choices(list(programs), list(programs.values()))[0]
