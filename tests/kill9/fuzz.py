"""Keepers killed at random places while the chain reorganises and the pool forgets.

One run is a fresh node and ledger, many kills, and a last keeper that is left alone to finish; then
the chain is asked whether every account was acted on exactly once, whether every transaction of
our lanes is known to the ledger, whether a nonce is missing, and whether the money adds up.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from deploy.devnet.chain.node import Node, NodeOptions
from keeper.chain.ledger import statements
from keeper.chain.ledger.rows import CapParameters
from keeper.chain.ledger.store import Ledger
from tests.integration.lane_world import CHAIN_ID, FUNDS_WEI, counted, prepare
from tests.kill9.keeper import LEAK, Errand, start


POINTS = ("after_sign", "after_commit", "before_send", "after_send", "reconcile", "anywhere")
ACCOUNTS_A_KILL = 3
BLOCK_S = 0.05


@dataclass
class Tally:
    """What was done to the keepers, and what they did wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    patience_s: float = 120.0  # a keeper that does not end in this time is stuck
    reorgs: int = 0
    drops: int = 0
    accounts: int = 0
    displaced: int = 0
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        points = ", ".join(f"{point} {count}" for point, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({points}), {self.reorgs} reorgs, {self.drops} drops, "
            f"{self.accounts} accounts, {self.displaced} displaced: "
            f"{len(self.violations)} violations"
        )


def run(
    folder: Path,
    kills: int,
    seed: int,
    tally: Tally,
    *,
    leaky: bool = False,
    crowded: bool = False,
) -> None:
    """Kill `kills` keepers on one chain, let the last one finish, and judge.

    `crowded`: they have fewer places than accounts to act on, and displace one another.
    """
    chance = random.Random(seed)
    with Node(NodeOptions(mining=False)) as node:
        lanes = prepare(node, 2)
        ledger, accounts = folder / f"ledger{seed}", 0
        for _ in range(kills):
            accounts += ACCOUNTS_A_KILL
            point = LEAK if leaky else chance.choice(POINTS)
            nth = chance.randint(1, 3)
            errand = Errand(node.port, ledger, accounts, point, nth, leaky, crowded)
            if not _live_and_die(node, errand, chance, tally):
                break
        last = Errand(node.port, ledger, accounts, crowded=crowded)
        tally.accounts += accounts
        if _live_and_die(node, last, None, tally):
            tally.violations += asyncio.run(_judge(node, ledger, lanes, accounts))
            tally.displaced += asyncio.run(_displaced(ledger))


def _live_and_die(node: Node, errand: Errand, chance: random.Random | None, tally: Tally) -> bool:
    """Let a keeper live until its knife falls or all is done; False where it did neither."""
    child = start(errand)
    until = time.monotonic() + tally.patience_s
    dies = None
    if errand.point == "anywhere" and chance is not None:
        dies = time.monotonic() + chance.uniform(0.03, 0.5)
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if os.WIFSIGNALED(status):
                tally.kills[errand.point] += 1
            elif os.WEXITSTATUS(status):
                tally.violations.append(f"{errand.point}: ended with {os.WEXITSTATUS(status)}")
            return True
        if dies is not None and time.monotonic() >= dies:
            os.kill(child, signal.SIGKILL)
        node.call("evm_mine")
        if chance is not None:
            _disturb(node, chance, tally)
        time.sleep(BLOCK_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    tally.violations.append(f"{errand.point}: stuck with {errand.accounts} accounts")
    return False


def _disturb(node: Node, chance: random.Random, tally: Tally) -> None:
    roll = chance.random()
    if roll < 0.08:
        depth = chance.randint(1, 3)
        if int(node.call("eth_blockNumber"), 16) > depth + 2:
            node.call("anvil_reorg", depth, [])
            tally.reorgs += 1
    elif roll < 0.14:
        node.call("anvil_dropAllTransactions")
        tally.drops += 1


async def _judge(node: Node, file: Path, lanes: list[str], accounts: int) -> list[str]:
    wrong = []
    for account in range(1, accounts + 1):
        times = counted(node, account)
        if times != 1:
            wrong.append(f"account {account} was acted on {times} times")
    ledger = await Ledger.open(file, CHAIN_ID, CapParameters())
    try:
        known = await ledger._read(
            lambda db, _: {row[0] for row in db.execute("SELECT hash FROM attempt")}
        )
        rows = await ledger._read(
            lambda db, chain: [statements.lane(db, chain, lane) for lane in lanes]
        )
        reserved, settled = await ledger.spent("global")
    finally:
        await ledger.close()
    wrong += [f"unknown bytes on the chain: {each}" for each in _sent(node, lanes) - known]
    for lane, row in zip(lanes, rows, strict=True):
        nonce = int(node.call("eth_getTransactionCount", lane, "latest"), 16)
        if row is None or row.next_nonce != nonce:
            wrong.append(f"lane {lane} stands at {nonce}, the ledger says {row}")
    balances = [int(node.call("eth_getBalance", lane, "latest"), 16) for lane in lanes]
    paid = len(lanes) * FUNDS_WEI - sum(balances)
    if (reserved, settled) != (0, paid):
        wrong.append(f"paid {paid} wei, the ledger has {settled} and still reserves {reserved}")
    return wrong


async def _displaced(file: Path) -> int:
    ledger = await Ledger.open(file, CHAIN_ID, CapParameters())
    try:
        return await ledger._read(
            lambda db, _: int(db.execute("SELECT count(*) FROM displaced").fetchone()[0])
        )
    finally:
        await ledger.close()


def _sent(node: Node, lanes: list[str]) -> set[str]:
    found = set()
    for number in range(1, int(node.call("eth_blockNumber"), 16) + 1):
        block = node.call("eth_getBlockByNumber", hex(number), True)
        found |= {each["hash"] for each in block["transactions"] if each["from"] in lanes}
    return found
