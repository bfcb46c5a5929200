"""Incremental state = fresh snapshot at the same block, on a real node, whatever happened between.

The checker of folding: a planted bug replays cleanly, but it does not survive this comparison.
"""

import asyncio
from typing import Any

import numpy as np
import pytest

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.venue.deployment import keeper_config
from deploy.devnet.venue.driver import Driver
from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.scene import GENESIS_S, Scene
from keeper.protocols.derive.margins.accrual import Accrual, with_interest
from keeper.protocols.derive.record import digest
from keeper.protocols.derive.views.compare import comparable, differences
from keeper.protocols.derive.wiring import DeriveConfig
from tests.integration.history import History, reading, snapshot_of


pytestmark = pytest.mark.node

BLOCKS = 36
ACCOUNTS = 60
WHOLE = wad("1")


class Play:
    """A crash with everything in it that moves state: what one block does is `act`'s business."""

    def __init__(self, node: Node) -> None:
        self.driver = Driver(node, Scene(seed=7, accounts=ACCOUNTS, blocks=BLOCKS))
        self.driver.prepare()
        self.venue = self.driver.venue
        self.config = DeriveConfig(
            **keeper_config(self.venue) | {"managers": tuple(self.managers)},
            underlyings=tuple(book.underlying for book in self.venue.books),
        )
        self.done: dict[str, int] = {}
        self.sender = self.venue.sender
        self.truth: dict[int, tuple[int, int]] = {}

    @property
    def managers(self) -> list[str]:
        return [book.manager.address for book in self.venue.books]

    def ask(self) -> dict[int, tuple[int, int]]:
        """(cash with interest, perpetual's value) of every account, as the chain computes them."""
        core, rpc = self.venue.core, self.driver.node.rpc
        found = {}
        for seeded in self.driver.seeded:
            perp = self.driver.book(seeded.plan.underlying).perp
            cash = core.cash.call(rpc, "calculateBalanceWithInterest", seeded.account)
            value = perp.call(rpc, "getUnsettledAndUnrealizedCash", seeded.account)
            found[seeded.account] = (int(cash), int(value))
        return found

    def send(self, contract: Contract, name: str, *arguments: Any) -> bool:
        """Queue a call that would succeed now; a refused one is left out."""
        rpc, sender = self.driver.node.rpc, self.sender
        try:
            contract.call(rpc, name, *arguments, sender=sender.address)
        except RpcError:
            return False
        sender.send(contract, name, *arguments, gas=25_000_000)
        self.done[name] = self.done.get(name, 0) + 1
        return True

    def run(self) -> None:
        while not self.driver.done:
            self.driver.step()
            # The driver's quotes take nonces of the owner: its next one is read anew.
            self.sender = Sender(self.driver.node.rpc, self.venue.sender.address)
            self.act(self.driver.played)
            self.sender.flush()

    def act(self, block: int) -> None:
        core, books = self.venue.core, self.venue.books
        for seeded in self.driver.seeded:
            book = self.driver.book(seeded.plan.underlying)
            if block % 6 == 0:
                worst = 0
                self.send(core.auction, "startAuction", seeded.account, worst)
            if block % 6 == 3:
                if seeded.account % 3:
                    self.bid(seeded.account)
                for name in ("terminateAuction", "convertToInsolventAuction"):
                    self.send(core.auction, name, seeded.account)
            if block % 6 == 4:
                self.send(core.auction, "updateScenarioId", seeded.account, block % 20)
            if (block + seeded.account) % 17 == 0:
                self.send(book.manager, "settleInterest", seeded.account)
                self.send(book.manager, "settlePerpsWithIndex", seeded.account)
            if (block + seeded.account) % 19 == 0:
                # A stranger may poke any account at any perpetual, also at one that is not its own.
                for other in books:
                    self.send(other.perp, "realizeAccountPNL", seeded.account)
        self.rules(block)

    def bid(self, account: int) -> None:
        core, sender = self.venue.core, self.sender
        rpc = self.driver.node.rpc
        if not core.auction.call(rpc, "isAuctionLive", account):
            return
        manager = core.sub_accounts.call(rpc, "manager", account)
        self.send(core.cash, "depositToNewAccount", sender.address, 3_000_000 * 10**6, manager)
        sender.flush()
        bidder = int(core.sub_accounts.call(rpc, "lastAccountId"))
        self.send(core.auction, "bid", account, bidder, WHOLE // 2, 0, 0)
        sender.flush()

    def rules(self, block: int) -> None:
        """Change a rule of each kind, one block after the other."""
        for contract, name, *arguments in self.changes().get(block, []):
            if not self.send(contract, name, *arguments):
                raise AssertionError(f"{name} was refused in block {block}")

    def changes(self) -> dict[int, list[tuple[Any, ...]]]:
        core, (eth, btc, *_) = self.venue.core, self.venue.books
        first = self.driver.seeded[0]
        coin = eth.collaterals[0].asset.address
        curve = (wad("0.9"), wad("0.6"), 60, 60, 600, 0, wad("0.1"))
        scenarios = eth.manager.call(self.driver.node.rpc, "getScenarios")
        override = (first.account, self.venue.books[1].lib.address)
        return {
            2: [(core.usdc, "mint", self.sender.address, 10**18)],
            4: [(core.cash, "setSmFee", wad("0.3")), (core.cash, "disableWithdrawFee")],
            5: [
                (eth.perp, "setRateBounds", wad("0.003")),
                (eth.perp, "setStaticInterestRate", wad("0.00001")),
                (eth.perp, "setConvergencePeriod", wad("9")),
            ],
            7: [(eth.manager, "setScenarios", [tuple(each) for each in scenarios[:-3]])],
            8: [
                (eth.manager, "setMaxExpiries", 9),
                (eth.manager, "setMaxAccountSize", 100),
                (eth.manager, "setAdjustmentsPaused", True),
            ],
            9: [
                (eth.manager, "setAdjustmentsPaused", False),
                (eth.lib, "setBasisContingencyParams", (wad("1.05"), wad("0.95"), 1, 2)),
                (eth.perp_feed, "setSpotDiffCap", wad("0.05")),
            ],
            10: [
                (eth.lib, "setCollateralParameters", coin, (True, True, 5, 6)),
                (core.auction, "setMtmCutoff", wad("10")),
                (core.auction, "setAuctionParams", curve),
            ],
            11: [(self.driver.book(first.plan.underlying).manager, "setLibOverride", *override)],
            # Read by the other book already, so nothing about it is unknown.
            13: [(eth.manager, "setInterestRateFeed", btc.rate_feed.address)],
            15: [(core.auction, "setWhitelistManager", eth.manager.address, False)],
            16: [
                (core.auction, "setWhitelistManager", eth.manager.address, True),
                (core.cash, "transferSmFees"),
            ],
        }


@pytest.fixture(scope="module")
def played() -> Any:
    """(play, first snapshot, history folded to the end, last snapshot), made once."""

    async def make() -> Any:
        with Node(NodeOptions(mining=False, timestamp=GENESIS_S)) as node:
            play = Play(node)
            async with reading(node) as reader:
                first = await snapshot_of(reader, play.config)
                await asyncio.to_thread(play.run)
                history = History(play.config, first)
                await history.follow(reader)
                last = await snapshot_of(reader, play.config)
                play.truth = await asyncio.to_thread(play.ask)
            return play, first, history, last

    return asyncio.run(make())


def test_the_run_was_no_toy(played: Any) -> None:
    play, first, history, last = played
    print(play.done, history.logs, len(first["tables"]["accounts"]))
    assert len(first["tables"]["accounts"]) > ACCOUNTS
    assert history.logs > 1_000
    for name in ("startAuction", "bid", "terminateAuction", "convertToInsolventAuction"):
        assert play.done.get(name), f"{name} never happened: {play.done}"
    for name in ("settleInterest", "updateScenarioId", "setLibOverride", "setInterestRateFeed"):
        assert play.done.get(name), f"{name} never happened: {play.done}"
    assert last["tables"]["auctions"], "no auction is live at the end"


def test_a_history_equals_a_fresh_snapshot_of_the_same_block(played: Any) -> None:
    _, _, history, last = played
    found = differences(comparable(history.dump()), comparable(last))
    assert found == [], "\n".join(found[:20])


def test_accrued_cash_and_perpetuals_are_what_the_chain_computes(played: Any) -> None:
    play, _, history, last = played
    tables = history.tables
    accrual = Accrual(tables, last["timestamp"])
    for account, (cash, value) in play.truth.items():
        row = tables.row(account)
        stored, index = tables.cash.get(row), tables.cash_index.get(row)
        exact = with_interest(stored, index, accrual.cash)
        # The chain's exponential is rounded in its last digit, on totals of 10^25 wei.
        assert abs(exact - cash) <= 1 + abs(cash) // 10**17
        manager = tables.manager_of(account)
        assert manager is not None
        size = [0.0]
        for instrument, quantity in tables.portfolio.positions.held(row):
            if tables.portfolio.instruments[instrument].address == manager.perp:
                size = [quantity / 1e18]
        carried = accrual.carried(manager.perp, np.array([row]), np.array(size))
        assert carried is not None
        if size[0]:
            assert carried[0] == pytest.approx(value / 1e18, rel=1e-12, abs=1e-9)
    assert any(tables.cash.get(tables.row(account)) < 0 for account in play.truth)


def test_a_planted_fold_bug_is_found(played: Any) -> None:
    _, _, history, last = played
    ours = history.dump()
    ours["columns"]["perp_mark"][0][1] = "1" + "0" * 20
    assert len(differences(comparable(ours), comparable(last))) == 1


def test_taking_every_block_back_gives_the_first_snapshot(played: Any) -> None:
    play, first, history, last = played
    loaded = History(play.config, last).dump()
    assert loaded == last
    assert digest(loaded) == digest(last)
    history.portfolio.undo.rewind(first["number"], first["hash"])
    history.timestamp = first["timestamp"]
    assert history.dump() == first
