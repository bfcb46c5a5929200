"""`exec.*` rows of the benchmark: the sending side on a real node, with fsync.

Every function returns rows (name, value, unit); each builds and ends its own world. The naive rival
is what peers do: one account after another, each waiting for its receipt.

    python -m tests.performance.exec_bench
"""

import asyncio
import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from coincurve import PrivateKey

from deploy.devnet.node import Node, NodeOptions
from keeper.chain.signer import CHECK_SECRET, CHECK_TRANSACTION, Transaction, sign_with
from keeper.domain.events import CommandCommitted, CommandSent, TransactionIncluded
from tests.integration.lane_world import (
    CHAIN_ID,
    COUNTER,
    command,
    executor,
    mine,
    prepare,
    secret,
)


class Row(NamedTuple):
    """One figure: a dotted name, a number and its unit."""

    name: str
    value: float
    unit: str


def signing() -> list[Row]:
    """Return the median and p99 of signing one EIP-1559 transaction."""
    key = PrivateKey(CHECK_SECRET)
    times = []
    for _ in range(2_000):
        began = time.perf_counter_ns()
        sign_with(key, CHECK_TRANSACTION)
        times.append((time.perf_counter_ns() - began) / 1_000)
    times.sort()
    return [
        Row("exec.sign.p50", statistics.median(times), "us"),
        Row("exec.sign.p99", times[int(len(times) * 0.99)], "us"),
    ]


async def committing(folder: Path, rounds: int = 20) -> list[Row]:
    """Return proposal → committed (trial, signing and fsync included), 16 breaches at once."""
    first: list[float] = []
    last: list[float] = []
    with Node(NodeOptions(mining=False)) as node:
        prepare(node, 1)
        async with executor(node, folder / "committing") as (executing, told):
            for batch in range(rounds):
                commands = [command(node, batch * 16 + i + 1) for i in range(16)]
                goal, began = len(told.of(CommandCommitted)) + 16, time.perf_counter()
                executing.submit(commands)
                await told.until(lambda n=goal - 15: len(told.of(CommandCommitted)) >= n)
                first.append((time.perf_counter() - began) * 1_000)
                await told.until(lambda n=goal: len(told.of(CommandCommitted)) >= n)
                last.append((time.perf_counter() - began) * 1_000)
                await told.until(lambda n=goal: len(told.of(CommandSent)) >= n)
                mine(node, executing)
                await told.until(lambda n=goal: len(told.of(TransactionIncluded)) >= n)
    return [
        Row("exec.committed.first.p50", statistics.median(first), "ms"),
        Row("exec.committed.first.p99", sorted(first)[int(len(first) * 0.99)], "ms"),
        Row("exec.committed.sixteenth.p50", statistics.median(last), "ms"),
        Row("exec.committed.sixteenth.p99", sorted(last)[int(len(last) * 0.99)], "ms"),
    ]


async def landing(folder: Path, accounts: int, lanes: int) -> list[Row]:
    """Return how many of the breaches of one block land in the next, 1 s later."""
    with Node(NodeOptions(mining=False)) as node:
        prepare(node, lanes)
        name = f"exec.landed.{accounts}_on_{lanes}"
        async with executor(node, folder / f"landing{accounts}_{lanes}", lanes) as (run, told):
            began = time.perf_counter()
            run.submit([command(node, number) for number in range(1, accounts + 1)])
            # What is not sent within the block time has missed the block, and that counts.
            with contextlib.suppress(TimeoutError):
                await told.until(lambda: len(told.of(CommandSent)) >= accounts, 1.0)
            sent_ms = (time.perf_counter() - began) * 1_000
            await asyncio.sleep(max(0.0, 1.0 - (time.perf_counter() - began)))
            number = mine(node, run)
            block = node.call("eth_getBlockByNumber", hex(number), False)
            return [
                Row(f"{name}.landed", len(block["transactions"]), "accounts"),
                Row(f"{name}.all_sent", sent_ms, "ms"),
            ]


def naive(accounts: int = 16, blocks: int = 3) -> list[Row]:
    """Return how many a sender lands that waits for each receipt, with 1 s blocks."""
    with Node(NodeOptions(mining=False)) as node:
        prepare(node, 1)
        key, landed = PrivateKey(secret(1)), 0
        for _ in range(blocks):
            if landed == accounts:
                break
            price = int(node.call("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
            data = bytes.fromhex(f"{landed + 1:064x}{0:064x}")
            transaction = Transaction(CHAIN_ID, landed, 1, 2 * price + 1, 100_000, COUNTER, 0, data)
            signed = sign_with(key, transaction)
            node.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
            node.call("evm_mine")  # the block that it waits for; its time is one block
            landed += node.call("eth_getTransactionReceipt", signed.hash) is not None
        return [
            Row("exec.naive.landed_next_block", min(landed, 1), "accounts"),
            Row(f"exec.naive.landed_{blocks}_blocks", landed, "accounts"),
        ]


async def rows(folder: Path) -> list[Row]:
    """Return every `exec.*` row."""
    found = signing()
    found += await committing(folder)
    found += await landing(folder, 50, 4)
    found += await landing(folder, 16, 1)
    return found + naive()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="exec-") as place:
        for row in asyncio.run(rows(Path(place))):
            print(f"{row.name:40} {row.value:10.2f} {row.unit}")
