"""A node of a market that never rests: a thousand logs a block, over HTTP and WebSocket.

It keeps the last blocks only, so that it can go on for ever, and speaks as much of JSON-RPC as the
keeper's link asks for. It must not know the keeper.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from tests.performance.busy_block import BusyChain
from tests.simulation import places as on
from tests.simulation.genesis import SPOT_USD, post_all
from tests.simulation.sim_chain import Block
from tests.simulation.venue_document import document


HOST: Final = "127.0.0.1"
BLOCKS_KEPT: Final = 64
MESSAGE_BYTES_MAX: Final = 1 << 20


class Market:
    """Mines and answers; `url` is where, once it is served."""

    def __init__(self, logs: int, accounts: int = 1_000) -> None:
        self.url = ""
        self._logs_a_block = logs
        self._busy = BusyChain(accounts, expiries=(on.LATER,))
        self._chance = random.Random("soak")
        self._headers: dict[str, dict[str, Any]] = {}
        self._numbers: dict[int, str] = {}
        self._blocks: dict[str, Block] = {}
        self._sockets: list[web.WebSocketResponse] = []
        # The market begins with fresh quotes, so that accounts are decided from the start.
        self._busy.chain.mine([lambda truth: post_all(truth, SPOT_USD)])
        self._keep(self._busy.chain.head)

    @property
    def head(self) -> Block:
        """Return the last block."""
        return self._busy.chain.head

    def document(self) -> bytes:
        """Return the venue's part of a snapshot of the last block."""
        return orjson.dumps(document(self.head.state, self.head.number, self.head.hash))

    async def mine(self) -> None:
        """Mine a block and tell whoever subscribed."""
        price = SPOT_USD * self._chance.gauss(1.0, 0.001)
        block = self._busy.mine(self._logs_a_block, lambda truth: post_all(truth, price))
        self._keep(block)
        params = {"subscription": "0x1", "result": self._headers[block.hash]}
        note = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
        for socket in list(self._sockets):
            await socket.send_bytes(orjson.dumps(note))

    def _keep(self, block: Block) -> None:
        self._headers[block.hash] = self._busy.header(block)
        self._numbers[block.number] = block.hash
        self._blocks[block.hash] = block
        while len(self._blocks) > BLOCKS_KEPT:
            old = next(iter(self._blocks.values()))
            del self._blocks[old.hash], self._headers[old.hash], self._numbers[old.number]
        self._busy.forget()

    def answer(self, method: str, params: list[Any]) -> Any:
        """Return what a node says; raises KeyError for what it does not serve."""
        answers: dict[str, Callable[..., Any]] = {
            "eth_chainId": lambda: hex(on.CHAIN_ID),
            "eth_subscribe": lambda _: "0x1",
            "eth_getBlockByHash": lambda block, _: self._headers.get(block),
            "eth_getBlockByNumber": lambda place, _: self._by_number(place),
            "eth_getLogs": self._logs_of,
            "eth_getBlockReceipts": lambda block: [{"logs": self._all_logs(block)}],
        }
        return answers[method](*params)

    def _by_number(self, place: str) -> dict[str, Any] | None:
        if place == "0x0":
            return {"hash": "0x" + 64 * "0"}
        named = {"latest": self.head.number, "finalized": min(self._numbers)}
        number = named[place] if place in named else int(place, 16)
        return self._headers.get(self._numbers.get(number, ""))

    def _logs_of(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = frozenset(query["address"])
        return [log for block in self._asked(query) for log in self._busy.logs(block, wanted)]

    def _all_logs(self, block: str) -> list[dict[str, Any]]:
        return self._busy.logs(self._blocks[block], None)

    def _asked(self, query: dict[str, Any]) -> list[Block]:
        if "blockHash" in query:
            return [self._blocks[query["blockHash"]]]
        span = range(int(query["fromBlock"], 16), int(query["toBlock"], 16) + 1)
        return [self._blocks[self._numbers[number]] for number in span if number in self._numbers]

    @asynccontextmanager
    async def served(self) -> AsyncIterator["Market"]:
        """Serve on a free port until the block ends."""
        app = web.Application()
        app.router.add_get("/", self._socket)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0).start()
            self.url = f"ws://{HOST}:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES_MAX)
        await socket.prepare(request)
        async for message in socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            asked = orjson.loads(message.data)
            several = asked if isinstance(asked, list) else [asked]
            answers = [
                {
                    "jsonrpc": "2.0",
                    "id": each["id"],
                    "result": self.answer(each["method"], each["params"]),
                }
                for each in several
            ]
            await socket.send_str(
                orjson.dumps(answers if isinstance(asked, list) else answers[0]).decode()
            )
            if any(each["method"] == "eth_subscribe" for each in several):
                self._sockets.append(socket)
        if socket in self._sockets:
            self._sockets.remove(socket)
        return socket


async def until_told(reader: asyncio.StreamReader) -> dict[str, int] | None:
    """Return the keeper's next line as numbers, None at its end."""
    line = await reader.readline()
    return orjson.loads(line) if line else None
