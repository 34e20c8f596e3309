"""
A run of an event loop that goes on until it's done, whatever would end it before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


def drive(
    loop: Any, done: asyncio.Future[Any], tell: Callable[[Any, dict[str, Any]], None]
) -> None:
    """
    Run a loop until ``done``. ``tell`` is called as the loop's exception handler.
    """
    while not done.done():
        try:
            loop.run_until_complete(done)
        except SystemExit as error:
            # asyncio raises it from here at once, as if to end the process.
            message = "A task or a callback has called sys.exit()."
            tell(loop, {"message": message, "exception": error})
        except RuntimeError:
            if loop.is_closed() or loop.is_running():
                raise
            # Somebody has called stop(), which only who runs the loop should do.
