"""`chain.*` rows of the benchmark: logs from bytes to columns, calls, a socket that is half open.

python -m tests.performance.chain_bench
"""

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from web3 import Web3

from deploy.devnet.chain.node import HOST, Node, NodeOptions
from keeper.app.links import GC_THRESHOLDS
from keeper.chain.link import frames
from keeper.chain.link.endpoints import EndpointState
from keeper.chain.link.websocket import RpcSocket
from keeper.chain.sealing.blocks import BlockReader
from keeper.chain.sealing.completeness import Watchlist
from keeper.domain.codec import canonical, encode_entry
from keeper.domain.events import Entry
from keeper.machine import Machine
from keeper.protocols.derive.abi import EVENTS, TOPIC
from keeper.runtime.clock import SystemClock
from tests.integration.link_world import BLOCK_TIME_MS, BRISK, equip, linked, mine
from tests.performance.busy_block import BusyChain
from tests.performance.stopwatch import p99
from tests.performance.table import GOALS, Figure, judged
from tests.simulation.sim_chain import Block
from tests.unit.chain.scripted_node import until
from tests.world.fault_proxy import fault_proxy


REPEATS: Final = 15
CALLS: Final = 500


class Answered:
    """An Rpc whose every batch is answered with the same bytes, parsed anew."""

    name = "node"

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        raise AssertionError(f"{method}: all is in the one answer")

    async def batch(self, calls: Sequence[Any], *, deadline_s: float) -> list[Any]:
        frame = frames.parse(self._raw)
        return [item.result for item in frame.items]


class Way:
    """The way of one block's logs from the bytes of the node's answer to the machine's columns."""

    def __init__(self) -> None:
        busy = BusyChain()
        self.machine: Machine = busy.machine()
        self._first: Block = busy.first
        self.block = busy.mine()
        watched = self.machine.venues[0].watch()
        self.raw = busy.answer(self.block, watched)
        self._watchlist = Watchlist(watched)

    async def read(self) -> tuple[float, float, float]:
        """Return the seconds to the sealed block, to the folded columns, and of the journal's line.

        The line is told by itself: single logs are made by who asks for them, and it may not be it.
        """
        began = time.perf_counter()
        full = await BlockReader(Answered(self.raw), self._watchlist, 1.0).full(self.block.hash)
        assert full is not None
        sealed_s = time.perf_counter() - began
        event = replace(self.block.sealed(at_tip=False), logs=full.logs)
        entry = Entry(1, 0, event)
        self.machine.fold(entry)
        folded_s = time.perf_counter() - began
        began = time.perf_counter()
        line = canonical(encode_entry(entry))
        line_s = time.perf_counter() - began
        assert len(line) > len(self.raw) // 2
        assert full.logs == self.block.logs
        self.machine.portfolio.undo.rewind(self._first.number, self._first.hash)
        return sealed_s, folded_s, line_s

    def with_web3(self) -> float:
        """Return the seconds that web3's own event processing takes for the same answer."""
        events = _web3_events()
        began = time.perf_counter()
        logs = json.loads(self.raw)[1]["result"]
        found = [events[log["topics"][0], len(log["topics"])].process_log(log) for log in logs]
        assert len(found) == len(self.block.logs)
        return time.perf_counter() - began


async def logs() -> list[Figure]:
    """Return what 10,000 logs cost, ours and web3's, under the collector's settings of a run."""
    way = Way()
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        times = [await way.read() for _ in range(REPEATS)]
        web3_s = statistics.median(way.with_web3() for _ in range(3))
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
    sealed_ms, folded_ms, line_ms = (statistics.median(of) * 1e3 for of in zip(*times, strict=True))
    return [
        Figure("chain.logs.ms", folded_ms, "ms"),
        Figure("chain.logs.least.ms", min(folded for _, folded, _ in times) * 1e3, "ms"),
        Figure("chain.logs.sealed.ms", sealed_ms, "ms"),
        Figure("chain.logs.journal.ms", line_ms, "ms"),
        Figure("chain.logs.speedup_web3", web3_s * 1e3 / folded_ms, "x"),
        Figure("chain.logs.web3.ms", web3_s * 1e3, "ms"),
    ]


async def calls() -> list[Figure]:
    """Return what a call and a batch of a hundred cost over a socket on a local node."""
    single: list[float] = []
    batch: list[float] = []
    with Node(NodeOptions(mining=False)) as node:
        async with RpcSocket("node", node.ws_url, SystemClock()) as rpc:
            for _ in range(CALLS):
                began = time.perf_counter()
                await rpc.call("eth_blockNumber", [], deadline_s=5.0)
                single.append((time.perf_counter() - began) * 1e3)
            for _ in range(CALLS // 10):
                began = time.perf_counter()
                await rpc.batch([("eth_blockNumber", [])] * 100, deadline_s=5.0)
                batch.append((time.perf_counter() - began) * 1e3)
    return [
        Figure("chain.call.p50", statistics.median(single), "ms"),
        Figure("chain.call.p99", p99(single), "ms"),
        Figure("chain.call.batch_100.p50", statistics.median(batch), "ms"),
    ]


async def half_open(rounds: int = 3) -> list[Figure]:
    """Return after how many block times a frozen socket is given up, the worst of some rounds."""
    worst = 0.0
    with Node(NodeOptions(mining=False)) as node:
        equip(node)
        for _ in range(rounds):
            async with (
                fault_proxy(HOST, node.port) as proxy,
                linked(node, proxy.ws_url, heads=BRISK) as link,
            ):
                await asyncio.to_thread(mine, node, 2)
                await link.caught_up(node)
                proxy.freeze()
                began = time.perf_counter()
                await until(lambda each=link: each.endpoint.state is not EndpointState.ALIVE)
                worst = max(worst, (time.perf_counter() - began) * 1e3 / BLOCK_TIME_MS)
    return [Figure("chain.half_open.blocks", worst, "blocks")]


async def rows(_: Path) -> list[Figure]:
    """Return every `chain.*` row."""
    return [*await logs(), *await calls(), *await half_open()]


def _web3_events() -> dict[tuple[str, int], Any]:
    """Return web3's event classes by topic and number of topics: the first words are indexed."""
    found: dict[tuple[str, int], Any] = {}
    for name, topic in TOPIC.items():
        plain, _, words = EVENTS[name][:-1].partition("(")
        if "(" in words:
            continue  # no event of a busy block holds a struct
        kinds = words.split(",")
        for indexed in range(min(len(kinds), 3) + 1):
            inputs = [
                {"name": f"word{i}", "type": kind, "indexed": i < indexed}
                for i, kind in enumerate(kinds)
            ]
            abi = [{"type": "event", "name": plain, "anonymous": False, "inputs": inputs}]
            contract = Web3().eth.contract(abi=abi)
            found[topic, indexed + 1] = contract.events[plain]()
    return found


if __name__ == "__main__":
    for row in judged(asyncio.run(rows(Path())), GOALS):
        print(row.line())
