"""
A server that accepts connections and says nothing.
"""

from __future__ import annotations

import asyncio


class SilentServer:
    async def __aenter__(self):
        self._streams = asyncio.Queue()
        self._writers = []
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info):
        self._server.close()
        for writer in self._writers:
            writer.close()

    def _accept(self, reader, writer):
        self._writers.append(writer)
        self._streams.put_nowait(reader)

    async def accepted(self):
        """
        Return what the next client sends, as a stream.
        """
        return await self._streams.get()
