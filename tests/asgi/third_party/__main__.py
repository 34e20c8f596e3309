"""
Serve the project by uvicorn on a socket that is inherited, until standard input ends.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn

from .application import application


async def main(descriptor):
    config = uvicorn.Config(
        application,
        lifespan="auto",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config)
    loop = asyncio.get_running_loop()

    def stop():
        loop.remove_reader(0)
        server.should_exit = True

    # It's a pipe of the tests: its end is theirs, however they end.
    loop.add_reader(0, stop)
    with socket.socket(fileno=descriptor) as listener:
        await server.serve(sockets=[listener])


if __name__ == "__main__":
    # Its debug mode takes several times as long.
    asyncio.run(main(int(sys.argv[1])), debug=False)
