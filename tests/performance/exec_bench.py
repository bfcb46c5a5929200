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

from coincurve import PrivateKey

from deploy.devnet.chain.node import Node, NodeOptions
from keeper.chain.keys.signer import CHECK_SECRET, CHECK_TRANSACTION, Transaction, sign_with
from keeper.chain.link.websocket import RpcSocket
from keeper.chain.sending.preflight import Preflight, PreflightParameters
from keeper.domain.events import CommandCommitted, CommandSent, TransactionIncluded
from keeper.runtime.clock import SystemClock
from tests.integration.lane_world import (
    CHAIN_ID,
    COUNTER,
    command,
    executor,
    mine,
    prepare,
    secret,
)
from tests.performance.stopwatch import p99
from tests.performance.table import GOALS, Figure, judged


def signing() -> list[Figure]:
    """Return the median and p99 of signing one EIP-1559 transaction."""
    key = PrivateKey(CHECK_SECRET)
    times = []
    for _ in range(2_000):
        began = time.perf_counter_ns()
        sign_with(key, CHECK_TRANSACTION)
        times.append((time.perf_counter_ns() - began) / 1_000)
    return [
        Figure("exec.sign.p50", statistics.median(times), "us"),
        Figure("exec.sign.p99", p99(times), "us"),
    ]


async def committing(folder: Path, rounds: int = 20) -> list[Figure]:
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
        Figure("exec.committed.first.p50", statistics.median(first), "ms"),
        Figure("exec.committed.first.p99", p99(first), "ms"),
        Figure("exec.committed.sixteenth.p50", statistics.median(last), "ms"),
        Figure("exec.committed.sixteenth.p99", p99(last), "ms"),
    ]


async def trying(rounds: int = 200) -> list[Figure]:
    """Return what the trial of one command takes: `eth_call` at the decided hash, on a node."""
    taken: list[float] = []
    with Node(NodeOptions(mining=False)) as node:
        (lane,) = prepare(node, 1)
        async with RpcSocket("node", node.ws_url, SystemClock()) as rpc:
            preflight = Preflight(rpc, lambda _, data: data, PreflightParameters())
            tried = command(node, 1)
            for _ in range(rounds):
                began = time.perf_counter()
                (verdict,) = await preflight.check([tried], [lane])
                taken.append((time.perf_counter() - began) * 1_000)
                assert verdict.reason is None
    return [
        Figure("exec.preflight.p50", statistics.median(taken), "ms"),
        Figure("exec.preflight.p99", p99(taken), "ms"),
    ]


async def landing(folder: Path, accounts: int, lanes: int) -> list[Figure]:
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
                Figure(f"{name}.landed", len(block["transactions"]), "accounts"),
                Figure(f"{name}.all_sent", sent_ms, "ms"),
            ]


def naive(accounts: int = 16, blocks: int = 3) -> list[Figure]:
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
            Figure("exec.naive.landed_next_block", min(landed, 1), "accounts"),
            Figure(f"exec.naive.landed_{blocks}_blocks", landed, "accounts"),
        ]


async def rows(folder: Path) -> list[Figure]:
    """Return every `exec.*` row but those of `head_bench`."""
    found = signing()
    found += await trying()
    found += await committing(folder)
    found += await landing(folder, 50, 4)
    found += await landing(folder, 16, 1)
    return found + naive()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="exec-") as place:
        for row in judged(asyncio.run(rows(Path(place))), GOALS):
            print(row.line())
