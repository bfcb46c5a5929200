import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.chain.scripted_node import PATIENCE_S
from tests.world.fault_proxy import FaultProxy, fault_proxy


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echoing() -> AsyncIterator[FaultProxy]:
    """A proxy in front of a server that says back what it hears."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1024):
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, fault_proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def opened(proxy: FaultProxy) -> Streams:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def said(streams: Streams, words: bytes, within_s: float = PATIENCE_S) -> bytes:
    streams[1].write(words)
    return await asyncio.wait_for(streams[0].read(1024), within_s)


async def test_bytes_pass_and_a_delay_is_added_in_both_directions() -> None:
    async with echoing() as proxy:
        streams = await opened(proxy)
        assert await said(streams, b"one") == b"one"
        proxy.delay_s = 0.05
        began = asyncio.get_running_loop().time()
        assert await said(streams, b"two") == b"two"
        assert asyncio.get_running_loop().time() - began >= 0.1
        streams[1].close()


async def test_a_frozen_connection_says_nothing_until_it_thaws_and_loses_nothing() -> None:
    async with echoing() as proxy:
        streams = await opened(proxy)
        assert await said(streams, b"one") == b"one"
        proxy.freeze()
        with pytest.raises(TimeoutError):
            await said(streams, b"two", within_s=0.1)
        fresh = await opened(proxy)
        assert await said(fresh, b"three") == b"three"
        proxy.thaw()
        assert await said(streams, b"") == b"two"
        for _, writer in (streams, fresh):
            writer.close()


async def test_later_connections_freeze_too_if_asked() -> None:
    async with echoing() as proxy:
        proxy.freeze(new_ones_too=True)
        streams = await opened(proxy)
        with pytest.raises(TimeoutError):
            await said(streams, b"one", within_s=0.1)
        streams[1].close()


async def test_a_close_ends_a_connection_in_order_and_a_reset_breaks_it() -> None:
    async with echoing() as proxy:
        closed = await opened(proxy)
        assert await said(closed, b"one") == b"one"
        proxy.close()
        assert await asyncio.wait_for(closed[0].read(), PATIENCE_S) == b""
        broken = await opened(proxy)
        assert await said(broken, b"one") == b"one"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(broken[0].read(), PATIENCE_S)
        for _, writer in (closed, broken):
            writer.close()


async def test_a_refused_connection_is_broken_at_once() -> None:
    async with echoing() as proxy:
        proxy.refusing = True
        streams = await opened(proxy)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(streams[0].read(), PATIENCE_S)
        streams[1].close()
