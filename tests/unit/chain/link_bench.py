"""Figures of the link, one JSON line each: `python -m tests.unit.chain.link_bench`.

chain.sealed_10k_logs_ms is the way of one block's 10,000 logs from the bytes of the node's answer
to the posted BlockSealed; web3's own event processing does the same logs in the same run.
"""

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from web3 import Web3
from web3.contract import Contract

from keeper.chain import frames
from keeper.chain.blocks import BlockReader
from keeper.chain.completeness import Watchlist, bloom_mask
from keeper.domain.events import BlockSealed, Event


LOGS = 10_000
EMITTER = "0x" + "aa" * 20
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
ABI: list[Any] = [
    {
        "type": "event",
        "name": "Transfer",
        "anonymous": False,
        "inputs": [
            {"name": "from", "type": "address", "indexed": True},
            {"name": "to", "type": "address", "indexed": True},
            {"name": "value", "type": "uint256", "indexed": False},
        ],
    }
]


def answer() -> bytes:
    """Return the bytes a node sends for one block and its logs."""
    block = "0x" + "11" * 32
    logs = [
        {
            "address": EMITTER,
            "topics": [TRANSFER, f"0x{index:064x}", f"0x{index + 1:064x}"],
            "data": f"0x{index * 10**15:064x}",
            "logIndex": hex(index),
            "transactionIndex": "0x0",
            "transactionHash": f"0x{index // 10:064x}",
            "blockNumber": "0x10",
            "blockHash": block,
            "removed": False,
        }
        for index in range(LOGS)
    ]
    header = {
        "number": "0x10",
        "hash": block,
        "parentHash": "0x" + "10" * 32,
        "timestamp": "0x6553f100",
        "baseFeePerGas": "0x7",
        "gasLimit": "0x1c9c380",
        "logsBloom": f"0x{bloom_mask(bytes.fromhex(EMITTER[2:])):0512x}",
    }
    return orjson.dumps([{"id": 1, "result": header}, {"id": 2, "result": logs}])


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


async def sealed(raw: bytes, post: Callable[[Event], None]) -> None:
    """Read the block as the follower does, and post it."""
    blocks = BlockReader(Answered(raw), Watchlist([EMITTER]), 1.0)
    full = await blocks.full("0x" + "11" * 32)
    assert full is not None
    header = full.header
    post(
        BlockSealed(
            1,
            header.number,
            header.hash,
            header.parent,
            header.timestamp,
            header.base_fee_wei,
            header.gas_limit,
            True,
            0,
            full.logs,
        )
    )


def with_web3(contract: Contract, raw: bytes) -> int:
    event = contract.events.Transfer()
    return sum(event.process_log(log)["args"]["value"] for log in json.loads(raw)[1]["result"])


def main() -> None:
    raw = answer()
    tell("chain.sealed_10k_logs_default_gc_ms", measured(raw)[0])
    # As a daemon should run: what start-up made is never walked again, and a block of logs is not
    # a reason to walk everything else.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    ours_ms, worst_ms = measured(raw)
    contract = Web3().eth.contract(abi=ABI)
    began = time.perf_counter()
    with_web3(contract, raw)
    web3_ms = (time.perf_counter() - began) * 1000
    tell("chain.sealed_10k_logs_ms", ours_ms)
    tell("chain.sealed_10k_logs_worst_ms", worst_ms)
    tell("chain.web3_10k_logs_ms", web3_ms)
    tell("chain.web3_ratio", web3_ms / ours_ms)


def measured(raw: bytes) -> tuple[float, float]:
    """Return the median and the worst of several ways from bytes to BlockSealed, milliseconds."""
    times: list[float] = []
    for _ in range(15):
        events: list[Event] = []
        began = time.perf_counter()
        asyncio.run(sealed(raw, events.append))
        times.append(time.perf_counter() - began)
        assert len(events) == 1
    return statistics.median(times) * 1000, max(times) * 1000


def tell(name: str, value: float) -> None:
    print(json.dumps({"name": name, "value": round(value, 2)}))


if __name__ == "__main__":
    main()
