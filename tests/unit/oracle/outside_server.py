"""A price publisher on this host that does what a test tells it: speaks, babbles, drops, hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from keeper.domain.effects import Notice
from keeper.domain.events import Event
from keeper.oracle.settings import OracleSettings
from keeper.oracle.stream import OracleSource, source
from keeper.runtime.clock import SystemClock
from tests.unit.chain.scripted_node import PATIENCE_S


Session = Callable[[web.WebSocketResponse], Awaitable[None]]


class OutsideServer:
    """Plays one session after another, the last for ever; counts connections and what was sent."""

    def __init__(self, *sessions: Session) -> None:
        self.sessions = list(sessions)
        self.pages: list[tuple[int, bytes]] = []
        self.connections = 0
        self.asked = 0
        self.received: list[str] = []
        self.port = 0

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        self.connections += 1
        play = self.sessions[min(self.connections, len(self.sessions)) - 1]
        await play(answer)
        return answer

    async def page(self, _: web.Request) -> web.Response:
        status, body = self.pages[min(self.asked, len(self.pages) - 1)]
        self.asked += 1
        return web.Response(status=status, body=body)

    def hears(self, then: Session) -> Session:
        """A session that first reads one frame, what the client subscribes with."""

        async def play(socket: web.WebSocketResponse) -> None:
            message = await socket.receive()
            assert message.type is WSMsgType.TEXT
            self.received.append(message.data)
            await then(socket)

        return play


class Heard:
    """What a source posted and told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.told: list[Notice] = []

    def kinds(self) -> list[str]:
        return [each.kind for each in self.told]


async def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait until something holds; AssertionError, saying what, when it never does."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - what a test waits for sets no event
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {PATIENCE_S} s") from None


@asynccontextmanager
async def listening(
    server: OutsideServer, **settings: Any
) -> AsyncIterator[tuple[OracleSource, Heard]]:
    """Serve, and run a source on it that is impatient enough for a test."""
    app = web.Application()
    app.router.add_get("/ws", server.socket)
    app.router.add_get("/page", server.page)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    heard = Heard()
    made = source(settings_for(server, **settings), SystemClock(), heard.told.append)
    task = asyncio.create_task(made.run(heard.events.append))
    try:
        yield made, heard
        assert not task.done(), "no fault of a source ends it"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


def settings_for(server: OutsideServer, **changes: Any) -> OracleSettings:
    """A stream of this server; with `polled` a page of it."""
    polled = changes.pop("polled", False)
    fields: dict[str, Any] = {
        "name": "outside",
        "kind": "stream",
        "underlying": "ETH",
        "price_path": "p",
        "post_ms": 1,
        "poll_ms": 5,
        "backoff_first_ms": 1,
        "backoff_max_ms": 20,
    }
    where = f"127.0.0.1:{server.port}"
    url = {"poll_url": f"http://{where}/page"} if polled else {"stream_url": f"ws://{where}/ws"}
    return OracleSettings(**{**fields, **url, **changes})
