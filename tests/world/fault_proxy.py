"""A TCP proxy that does to a connection what networks do: freeze, delay, close, reset, refuse.

It moves bytes and does not know what they mean. "Frozen" is half-open: nobody is told anything,
the bytes just stop, which is the fault that keep-alives and watchdogs exist for.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


CHUNK_BYTES = 65_536


@dataclass(eq=False)
class _Link:
    """One proxied connection: both sides, and whether its bytes flow."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    flows: asyncio.Event = field(default_factory=asyncio.Event)


class FaultProxy:
    """Between a client and `host:port`; made by `fault_proxy`, listening on `port`."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.connections = 0
        self.delay_s = 0.0  # added to every chunk, in both directions
        self.refusing = False  # new connections are closed at once
        self._target = (host, port)
        self._frozen = False
        self._links: list[_Link] = []

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def freeze(self, *, new_ones_too: bool = False) -> None:
        """Stop the bytes of every open connection, and of later ones too if asked."""
        self._frozen = new_ones_too
        for link in self._links:
            link.flows.clear()

    def thaw(self) -> None:
        """Let all bytes flow again, those held back first."""
        self._frozen = False
        for link in self._links:
            link.flows.set()

    def close(self) -> None:
        """End every open connection in order (FIN)."""
        for link in list(self._links):
            link.client.close()
            link.server.close()

    def reset(self) -> None:
        """Break every open connection at once (RST)."""
        for link in list(self._links):
            _reset(link.client)
            _reset(link.server)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        self.connections += 1
        try:
            if self.refusing:
                raise ConnectionRefusedError
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        link = _Link(writer, upstream_writer)
        if not self._frozen:
            link.flows.set()
        self._links.append(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._carry(reader, upstream_writer, link))
                tasks.create_task(self._carry(upstream_reader, writer, link))
        finally:
            self._links.remove(link)
            writer.transport.abort()
            upstream_writer.transport.abort()

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, link: _Link
    ) -> None:
        try:
            while chunk := await source.read(CHUNK_BYTES):
                await asyncio.sleep(self.delay_s)
                await link.flows.wait()
                sink.write(chunk)
                await sink.drain()
        except OSError:
            pass  # a broken side ends the connection, below, like a closed one
        # A side that closes while frozen must not be heard of: that is what half-open means.
        await link.flows.wait()
        link.client.close()
        link.server.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break one side with an RST: without lingering, closing throws away what was not sent."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def fault_proxy(host: str, port: int) -> AsyncIterator[FaultProxy]:
    """Run a proxy to `host:port` on a free port of this machine."""
    proxy = FaultProxy(host, port)
    carrying: list[asyncio.Task[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carrying.append(task)
        try:
            await proxy.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()  # the proxy is over; the server logs a task left cancelled

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        await server.wait_closed()
