"""
Synchronous code that suspends on the event loop instead of blocking it.

Needs no Django: ``run_sync`` enters the bridge, ``await_`` waits in it.
"""

from __future__ import annotations

from ..exceptions import NotInBridge, SwitchForbidden
from ._loop_local import LoopLocal
from ._offload import offload
from ._portal import portal
from ._switch import await_, in_bridge, no_switch, run_sync

__all__ = [
    "LoopLocal",
    "NotInBridge",
    "SwitchForbidden",
    "await_",
    "in_bridge",
    "no_switch",
    "offload",
    "portal",
    "run_sync",
]

for _public in (LoopLocal, await_, in_bridge, no_switch, offload, portal, run_sync):
    _public.__module__ = __name__
