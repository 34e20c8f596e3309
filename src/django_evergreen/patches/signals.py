"""
Signals: ``asend()`` calls sync receivers in the bridge.

For Django 5.2 to 6.1. So receivers query in the transaction and on the
connection of the sender, instead of in a thread.
"""

from __future__ import annotations

from ._call_sites import call_sites

PATCHES = [call_sites("django.dispatch.dispatcher")]
