"""A chain in memory that a test extends, forks and rewinds, behind the `Watch` protocol.

It answers what a node would, and lies where a test tells it to. `fold` is the checker: it applies
posted events the way the machine may rely on, and says what state they lead to.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from keeper.chain.link.subscription import Arrival, Subscription
from keeper.chain.link.transport import Request
from keeper.chain.sealing.completeness import bloom_mask
from keeper.domain.errors import EndpointUnreachable, RpcError
from keeper.domain.events import BlockSealed, ChainRewound, Event, Log
from keeper.ports import Header


WATCHED = "0x" + "aa" * 20
OTHER = "0x" + "bb" * 20
CHAIN_ID = 31337


def digest(*parts: object) -> str:
    return "0x" + hashlib.sha256(repr(parts).encode()).hexdigest()


class FakeChain:
    """One node: `canonical` is its branch; every block ever made stays known by hash."""

    name = "watch"

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.canonical: list[str] = []
        self.asked: list[str] = []
        self.answer: Callable[[str, Sequence[Any]], Any] = self.truth
        self.delay_s = 0.0
        self.drops: list[str] = []
        self.heads_seen = 0
        self.heads_late = 0
        self._up = asyncio.Event()
        self._up.set()
        self._subscription: Subscription | None = None
        self._salt = 0
        self._add_block(None, 0)

    @property
    def tip(self) -> dict[str, Any]:
        return self.known[self.canonical[-1]]

    def header(self, number: int) -> Header:
        raw = self.known[self.canonical[number]]
        return Header(number, raw["hash"], raw["parentHash"], int(raw["timestamp"], 16), 7, 30)

    def mine(self, blocks: int = 1, *, logs: int = 1, tell: bool = True) -> None:
        """Extend the branch; each block has `logs` watched logs and as many others."""
        for _ in range(blocks):
            self._add_block(self.canonical[-1], logs)
            if tell:
                self.tell(self.tip)

    def rewind(self, blocks: int) -> None:
        """Go back without a word, as anvil_rollback does."""
        del self.canonical[len(self.canonical) - blocks :]
        self._salt += 1

    def reorg(self, depth: int, *, longer: int = 0, tell: bool = True) -> None:
        """Replace the last `depth` blocks by other ones, and notify of each."""
        self.rewind(depth)
        self.mine(depth + longer, tell=tell)

    def tell(self, raw: Any) -> None:
        """Send a newHeads notification."""
        if self._subscription is not None:
            self._subscription.deliver(Arrival(1, raw))

    def cut(self) -> None:
        """Break the connection; the next one is there at once."""
        self.drop("cut by the test")

    # The Watch protocol.

    async def up(self) -> None:
        await self._up.wait()

    def drop(self, problem: str) -> None:
        self.drops.append(problem)
        if self._subscription is not None:
            self._subscription.end(EndpointUnreachable(self.name, problem))
            self._subscription = None

    def head_seen(self) -> None:
        self.heads_seen += 1

    def head_late(self) -> None:
        self.heads_late += 1

    async def subscribe(
        self, topic: str, *, deadline_s: float, capacity: int, lossy: bool
    ) -> Subscription:
        assert (topic, lossy) == ("newHeads", True)
        self._subscription = Subscription(self.name, "0x1", capacity, lossy=lossy)
        return self._subscription

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        (answer,) = await self.batch([(method, params)], deadline_s=deadline_s)
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any]:
        await asyncio.sleep(self.delay_s)
        self.asked += [method for method, _ in calls]
        # Through JSON, so that a test cannot share an object with what it tests.
        return [
            answer if isinstance(answer, RpcError) else json.loads(json.dumps(answer))
            for answer in [self.answer(method, params) for method, params in calls]
        ]

    def truth(self, method: str, params: Sequence[Any]) -> Any:
        """Return what an honest node answers."""
        if method == "eth_getBlockByNumber":
            if params[0] == "latest":
                return self.tip
            return self.known.get(dict(enumerate(self.canonical)).get(int(params[0], 16), ""))
        if method == "eth_getBlockByHash":
            return self.known.get(params[0])
        if method == "eth_getBlockReceipts":
            logs = self.logs.get(params[0])
            return None if logs is None else [{"logs": [log]} for log in logs]
        assert method == "eth_getLogs"
        return self._query(params[0])

    def _query(self, criteria: dict[str, Any]) -> Any:
        if "fromBlock" in criteria:
            first, last = (int(criteria[key], 16) for key in ("fromBlock", "toBlock"))
            blocks = self.canonical[first : last + 1]
        elif criteria["blockHash"] in self.known:
            blocks = [criteria["blockHash"]]
        else:
            return RpcError(self.name, -32000, "unknown block")
        found = [log for block in blocks for log in self.logs[block]]
        return [log for log in found if log["address"] in criteria["address"]]

    def _add_block(self, parent: str | None, logs: int) -> None:
        number = 0 if parent is None else int(self.known[parent]["number"], 16) + 1
        block = digest(parent, number, self._salt)
        self.logs[block] = [
            {
                "address": address,
                "topics": [digest("topic", index % 2)],
                "data": digest(block, index),
                "logIndex": hex(index),
                "transactionHash": digest("transaction", block, index),
                "blockNumber": hex(number),
                "blockHash": block,
            }
            for index, address in enumerate([WATCHED, OTHER] * logs)
        ]
        bloom = 0
        for log in self.logs[block]:
            for item in (log["address"], *log["topics"]):
                bloom |= bloom_mask(bytes.fromhex(item[2:]))
        self.known[block] = {
            "number": hex(number),
            "hash": block,
            "parentHash": parent or "0x" + "00" * 32,
            "timestamp": hex(1_700_000_000 + number),
            "baseFeePerGas": "0x7",
            "gasLimit": "0x1e",
            "logsBloom": f"0x{bloom:0512x}",
        }
        self.canonical.append(block)


def expected(chain: FakeChain) -> list[tuple[str, tuple[str, ...]]]:
    """Return the chain as read afterwards: (block hash, data of its watched logs), in order."""
    return [
        (block, tuple(log["data"] for log in chain.logs[block] if log["address"] == WATCHED))
        for block in chain.canonical
    ]


def fold(events: Sequence[Event], start: int, chain: FakeChain) -> list[tuple[str, Any]]:
    """Return the branch that the events lead to from block `start`; asserts they fit together."""
    branch = expected(chain)[: start + 1]
    for event in events:
        if isinstance(event, ChainRewound):
            assert event.number < len(branch) - 1, "a rewind must take something back"
            del branch[event.number + 1 :]
            assert branch[-1][0] == event.hash
        else:
            assert isinstance(event, BlockSealed)
            assert event.parent == branch[-1][0]
            assert event.number == len(branch)
            assert list(event.logs) == sorted(event.logs, key=lambda log: log.log_index)
            branch.append((event.hash, tuple(log.data for log in event.logs)))
    return branch


def watched_log(chain: FakeChain, block: str) -> Log:
    raw = chain.logs[block][0]
    return Log(WATCHED, tuple(raw["topics"]), raw["data"], 0, raw["transactionHash"])
