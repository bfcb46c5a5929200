"""A node that says exactly what a test tells it to, over a real socket on this machine."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from keeper.chain.link.transport import LIMITS, TransportLimits
from keeper.chain.link.websocket import RpcSocket


# For what is sure to come: a machine with much else to do may take its time, and no test is slower
# for it. What must not come is waited for in turns or polls, never in seconds.
PATIENCE_S = 60.0


class HostClock:
    """The `Clock` port over the host's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class SocketSide:
    """The node's side of one WebSocket connection."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket

    async def heard(self) -> Any:
        return json.loads((await self.socket.receive()).data)

    async def say(self, message: Any) -> None:
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def answer(self, request: Any, result: Any) -> None:
        await self.say({"jsonrpc": "2.0", "id": request["id"], "result": result})

    async def notify(self, subscription: str, result: Any) -> None:
        params = {"subscription": subscription, "result": result}
        await self.say({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})

    async def close(self) -> None:
        await self.socket.close()


Script = Callable[[SocketSide], Awaitable[None]]
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(page: Page) -> AsyncIterator[str]:
    """Serve one page for every path; yields host and port."""
    application = web.Application()
    application.router.add_route("*", "/{any:.*}", page)
    runner = web.AppRunner(application, shutdown_timeout=0.05)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[str]:
    """Serve WebSockets that follow the script; yields the URL."""

    async def page(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        await script(SocketSide(socket))
        return socket

    async with serving(page) as place:
        yield f"ws://{place}"


@asynccontextmanager
async def dialogue(script: Script, limits: TransportLimits = LIMITS) -> AsyncIterator[RpcSocket]:
    """A socket to a node that follows the script."""
    async with scripted(script) as url, RpcSocket("watch", url, HostClock(), limits) as socket:
        yield socket


async def for_ever(_: SocketSide) -> None:
    await asyncio.sleep(3600)


async def until(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait for a condition that no event announces; TimeoutError when it does not come."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - the tested object has no event for it
            await asyncio.sleep(0.001)
