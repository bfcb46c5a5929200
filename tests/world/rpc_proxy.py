"""A proxy that understands JSON-RPC, between the keeper and one node or several.

Calls come over HTTP or a WebSocket and pass through `rules`, outermost first, to a node; heads and
logs come back through `notes`. A rule sees one call and what answers it, so it can rewrite, refuse,
delay or invent; a note rule sees one notification and returns those to send in its place. It knows
nothing of what is right: the rules of geth's pool are `tests.world.geth_pool`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web


Reply = dict[str, Any]  # {"result": ...} or {"error": {...}}, without an id


@dataclass(frozen=True)
class Call:
    """One JSON-RPC call as the keeper made it."""

    method: str
    params: list[Any]


Onward = Callable[[Call], Awaitable[Reply]]
Rule = Callable[[Call, Onward], Awaitable[Reply]]
NoteRule = Callable[[dict[str, Any]], list[dict[str, Any]]]
Mangle = Callable[[bytes], bytes | None]


@dataclass
class RateLimit:
    """How many more calls are served before 429; `retry_after` is the header, as text."""

    calls_left: int
    retry_after: str | None = "1"
    refused: int = 0


class RpcProxy:
    """Between clients and `upstreams` (HTTP URLs of nodes); made by `rpc_proxy`.

    Calls go to the upstreams in turn (one node behind a load balancer each), subscriptions to the
    first. `asked` lists the methods seen; `mangle` may change or swallow the bytes of any message.
    """

    def __init__(self, upstreams: list[str], session: aiohttp.ClientSession) -> None:
        self.port = 0
        self.rules: list[Rule] = []
        self.notes: list[NoteRule] = []
        self.mangle: Mangle | None = None
        self.limit: RateLimit | None = None
        self.asked: list[str] = []
        self.connections = 0
        self._upstreams = upstreams
        self._turn = 0
        self._session = session
        self._sockets: list[_Socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def say(self, message: bytes | str) -> None:
        """Send bytes that nobody asked for to every open socket."""
        for socket in self._sockets:
            await socket.client.send_str(message if isinstance(message, str) else message.decode())

    async def take_back(self, block: str) -> int:
        """Send what was told of a block's logs again with `removed: true`; return how many."""
        told = [(each, note) for each in self._sockets for note in each.logs.pop(block, [])]
        for socket, note in told:
            note["params"]["result"]["removed"] = True
            await socket.client.send_str(json.dumps(note))
        return len(told)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Serve one HTTP request, or one WebSocket to its end."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        body = json.loads(await request.read())
        if self._limited(body):
            assert self.limit is not None
            wait = self.limit.retry_after
            return web.Response(status=429, headers={} if wait is None else {"Retry-After": wait})
        raw = self._mangled(await self._answer(body))
        if raw is None:
            await asyncio.sleep(3600)
        return web.Response(body=raw, content_type="application/json")

    async def ask(self, call: Call) -> Reply:
        """Pass one call through the rules to a node."""
        self.asked.append(call.method)
        return await self._through(0, call)

    async def forward(self, call: Call) -> Reply:
        """Ask the node whose turn it is, past all rules."""
        upstream = self._upstreams[self._turn % len(self._upstreams)]
        body = {"jsonrpc": "2.0", "id": 1, "method": call.method, "params": call.params}
        try:
            async with self._session.post(upstream, json=body) as response:
                answer = await response.json()
        except aiohttp.ClientError:
            return {"error": {"code": -32603, "message": "upstream is gone"}}
        return {key: answer[key] for key in ("result", "error") if key in answer}

    async def _through(self, depth: int, call: Call) -> Reply:
        if depth == len(self.rules):
            return await self.forward(call)
        return await self.rules[depth](call, lambda onward: self._through(depth + 1, onward))

    async def _answer(self, body: Any) -> bytes:
        parts = body if isinstance(body, list) else [body]
        self._turn += 1  # a balancer sends a whole message to one node
        replies = [
            {"jsonrpc": "2.0", "id": part["id"]}
            | await self.ask(Call(part["method"], part["params"]))
            for part in parts
        ]
        return json.dumps(replies if isinstance(body, list) else replies[0]).encode()

    def _limited(self, body: Any) -> bool:
        if self.limit is None:
            return False
        self.limit.calls_left -= len(body) if isinstance(body, list) else 1
        self.limit.refused += self.limit.calls_left < 0
        return self.limit.calls_left < 0

    def _mangled(self, raw: bytes) -> bytes | None:
        return raw if self.mangle is None else self.mangle(raw)

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        self.connections += 1
        client = web.WebSocketResponse(max_msg_size=0)
        await client.prepare(request)
        upstream = self._upstreams[0].replace("http", "ws", 1)
        async with self._session.ws_connect(upstream, max_msg_size=0) as node:
            socket = _Socket(client, node)
            self._sockets.append(socket)
            pump = asyncio.create_task(self._pump(socket))
            serving: list[asyncio.Task[None]] = []
            try:
                async for message in client:
                    body = json.loads(message.data)
                    serving.append(asyncio.create_task(self._serve(socket, body)))
            finally:
                self._sockets.remove(socket)
                for task in (pump, *serving):
                    task.cancel()
                await asyncio.gather(pump, *serving, return_exceptions=True)
        return client

    async def _serve(self, socket: "_Socket", body: Any) -> None:
        if isinstance(body, dict) and body["method"].startswith(("eth_subscribe", "eth_unsub")):
            await socket.node.send_str(json.dumps(body))
            return
        if self._limited(body):
            error = {"code": -32005, "message": "Too Many Requests: rate limit exceeded"}
            parts = body if isinstance(body, list) else [body]
            replies = [{"jsonrpc": "2.0", "id": part["id"], "error": error} for part in parts]
            raw: bytes | None = json.dumps(
                replies if isinstance(body, list) else replies[0]
            ).encode()
        else:
            raw = self._mangled(await self._answer(body))
        if raw is not None and not socket.client.closed:
            await socket.client.send_str(raw.decode(errors="replace"))

    async def _pump(self, socket: "_Socket") -> None:
        """Carry what the node pushes, through the note rules."""
        async for message in socket.node:
            frame = json.loads(message.data)
            notes = [frame]
            if frame.get("method") == "eth_subscription":
                for rule in self.notes:
                    notes = [after for note in notes for after in rule(note)]
            for note in notes:
                socket.remember(note)
                raw = self._mangled(json.dumps(note).encode())
                if raw is not None:
                    await socket.client.send_str(raw.decode(errors="replace"))
        await socket.client.close()


class _Socket:
    """One client's WebSocket, ours to the node, and the log notifications passed on, by block."""

    def __init__(
        self, client: web.WebSocketResponse, node: aiohttp.ClientWebSocketResponse
    ) -> None:
        self.client = client
        self.node = node
        self.logs: dict[str, list[dict[str, Any]]] = {}

    def remember(self, note: dict[str, Any]) -> None:
        result = note.get("params", {}).get("result")
        if isinstance(result, dict) and "logIndex" in result:
            self.logs.setdefault(result["blockHash"], []).append(note)


@asynccontextmanager
async def rpc_proxy(*upstreams: str) -> AsyncIterator[RpcProxy]:
    """Run a proxy to the nodes (HTTP URLs) on a free port of this machine."""
    async with aiohttp.ClientSession() as session:
        proxy = RpcProxy(list(upstreams), session)
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{any:.*}", proxy.page)
        runner = web.AppRunner(application, shutdown_timeout=0.05)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            proxy.port = runner.addresses[0][1]
            yield proxy
        finally:
            await runner.cleanup()
