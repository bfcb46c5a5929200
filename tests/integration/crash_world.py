"""The demo's market, small, with a keeper beside it, and what must hold when it is all over.

The market may be taken away under the keeper's feet (a node killed, frozen or sent back): `step`
goes on with the plan from wherever the chain stands. The checks ask the chain, the ledger's file
and the journal, never the keeper's memory.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.devnet.chain.node import Node
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.venue.deployment import SeedAccount
from deploy.devnet.venue.driver import Driver
from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.scene import Scene
from deploy.devnet.venue.seeding import MARGIN_GAS, book_of
from keeper.app.assembly import Places
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_stand import WEALTH_WEI, KeeperStand


BIDDERS_A_BOOK = 4
BIDDER_USD = "500000"
STILL_STEP_S = 5
SERVED_BLOCKS_MAX = 20
SENT_BATCH = 100


@dataclass(frozen=True)
class Sent:
    """One transaction of a lane that is on the chain."""

    hash: str
    nonce: int
    succeeded: bool


class Crash(KeeperStand):
    """The demo's market, small, with one keeper on it."""

    BLOCKS = 40

    def __init__(self, node: Node, folder: Path, scene: Scene | None = None) -> None:
        self.node, self.folder, self.keepers = node, folder, []
        self.driver = Driver(node, scene or Scene(seed=3, accounts=60, blocks=self.BLOCKS))
        self.driver.prepare()
        # Asked for once: asking fills the lane's purse, and what it paid would not be seen.
        self.address = lane = self.lane()
        cash = self.driver.venue.core.cash.address
        plans = [
            SeedAccount(lane, book.manager.address, ((cash, 0, wad(BIDDER_USD)),))
            for book in self.driver.venue.books
            for _ in range(BIDDERS_A_BOOK)
        ]
        self.bidders = self.driver.open_accounts(plans)
        self.driver.idle()
        self.venue = self.driver.venue
        self.floor = self.number  # what is below must not be taken back: the venue stands on it

    # ── the market ──

    def play(self, keeper: KeeperProcess) -> dict[str, object]:
        """Play the next block and wait until the keeper decided on it; its line of the log."""
        self.driver.step()
        return keeper.block(self.head["hash"])

    def still(self) -> None:
        """Make one more block of the same quotes."""
        at_s = int(self.head["timestamp"], 16) + STILL_STEP_S
        self.driver._publish(self.driver.moments[self.driver.played], at_s)

    def hold(self, keeper: KeeperProcess) -> None:
        """Make one more block of the same quotes, and wait until it was decided on."""
        self.still()
        keeper.block(self.head["hash"])

    def settle(self, keeper: KeeperProcess) -> int:
        """Hold the market still until nobody is unserved; how many blocks that took."""
        for count in range(SERVED_BLOCKS_MAX):
            self.hold(keeper)
            if not self.unserved():
                return count + 1
        raise AssertionError(f"unserved: {self.unserved()}: {keeper.tail()}")

    # ── what must hold ──

    def unserved(self) -> list[int]:
        """Return the accounts below the line on the chain's own view and not under auction."""
        calls: list[tuple[str, list[Any]]] = []
        for each in self.driver.seeded:
            manager = book_of(self.venue, each.plan.underlying).manager
            request = {
                "to": manager.address,
                "data": manager.encode("getMargin", each.account, False),
            }
            calls.append(("eth_call", [request | {"gas": hex(MARGIN_GAS)}, "latest"]))
        answers = self.node.rpc.try_batch(calls)
        below = [
            each.account
            for each, answer in zip(self.driver.seeded, answers, strict=True)
            if not isinstance(answer, RpcError) and int(answer, 16) >= 2**255
        ]
        return [account for account in below if not self.live(account)]

    def sent(self, lane: str) -> list[Sent]:
        """Return every transaction of a lane that is on the chain, in order."""
        calls = [
            ("eth_getBlockByNumber", [hex(number), True])
            for number in range(self.floor, self.number + 1)
        ]
        blocks = [
            block
            for at in range(0, len(calls), SENT_BATCH)
            for block in self.node.rpc.batch(calls[at : at + SENT_BATCH])
        ]
        ours = [
            each
            for block in blocks
            for each in block["transactions"]
            if each["from"].lower() == lane.lower()
        ]
        receipts = self.node.rpc.batch(
            [("eth_getTransactionReceipt", [each["hash"]]) for each in ours]
        )
        return [
            Sent(each["hash"], int(each["nonce"], 16), receipt["status"] == "0x1")
            for each, receipt in zip(ours, receipts, strict=True)
        ]

    def wrong(self, keeper: KeeperProcess, lanes: Sequence[str]) -> list[str]:
        """Return what chain and ledger, once the keeper has ended, say was wrong; best nothing."""
        found: list[str] = []
        with ledger_of(keeper.data_dir) as db:
            known = {row[0] for row in db.execute("SELECT hash FROM attempt")}
            reserved, settled = _spent(db)
            for lane in lanes:
                on_chain = self.sent(lane)
                found += [
                    f"bytes no ledger knows: {e.hash}" for e in on_chain if e.hash not in known
                ]
                if [each.nonce for each in on_chain] != list(range(len(on_chain))):
                    found.append(f"nonces of {lane}: {[each.nonce for each in on_chain]}")
                (stored,) = db.execute(_NEXT_NONCE, (lane.lower(),)).fetchone()
                if stored != len(on_chain) + _waiting(db, lane):
                    found.append(f"{lane} stands at {len(on_chain)}, the ledger at {stored}")
            found += [f"two live actions of {row[0]}" for row in db.execute(_TWICE).fetchall()]
        balances = [int(self.node.call("eth_getBalance", lane, "latest"), 16) for lane in lanes]
        paid = len(lanes) * WEALTH_WEI - sum(balances)
        if settled != paid:
            found.append(f"paid {paid} wei, settled {settled}, reserved {reserved}")
        return found


_NEXT_NONCE = "SELECT next_nonce FROM lane WHERE address = ?"
_TWICE = """SELECT intent.protocol || '/' || intent.account FROM slot
    JOIN intent ON intent.id = slot.intent_id
    WHERE slot.state = 'LIVE' AND intent.kind = 'act' AND intent.state IN ('NEW', 'BOUND')
    GROUP BY intent.protocol, intent.account HAVING count(*) > 1"""


def _waiting(db: sqlite3.Connection, lane: str) -> int:
    """Return how many nonces of a lane wait for a block."""
    query = "SELECT count(*) FROM slot WHERE address = ? AND state = 'LIVE'"
    (count,) = db.execute(query, (lane.lower(),)).fetchone()
    return int(count)


def _spent(db: sqlite3.Connection) -> tuple[int, int]:
    """Return what is reserved and what is settled in wei, of everything."""
    row = db.execute("SELECT reserved_wei, settled_wei FROM spend WHERE scope = 'total'").fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


@contextmanager
def ledger_of(data_dir: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of a keeper's ledger, its write-ahead log included: the keeper's stays as it is.

    The copy must not be of a moment between two files: the keeper has ended, or writes nothing.
    """
    ledger = Places(data_dir).ledger
    with tempfile.TemporaryDirectory() as folder:
        for path in (ledger, ledger.with_name(f"{ledger.name}-wal")):
            if path.exists():
                shutil.copy(path, folder)
        with closing(sqlite3.connect(Path(folder) / ledger.name)) as db:
            yield db
