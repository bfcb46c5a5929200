"""The auction contract with the real margin contract against ten upstream solvent bid steps.

The vectors' margins are PMRM v1. With a zero interest rate (so no discount), short factors of one,
no loss factor and v1's scenarios (spot 0.85 to 1.15, volatility range .45/.3), PMRM_2 is PMRM v1,
so the real contracts are used and nothing is scripted. Each step is one second: the vector's
quotes, then the bid. Of the two labels that look alike, `fLiquidatedOfOriginal` is what the
contract calls the final percentage (of the account as it is), `FinalPercentageReceived` is of the
account as it was. The two insolvent simulations are switched off upstream and are not golden.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.node import Node
from deploy.devnet.venue.deployment import SeedAccount, Venue, deploy_venue, seed
from deploy.devnet.venue.parameters import (
    DOWN,
    NONE,
    UP,
    AuctionParameters,
    BookParameters,
    MarginParameters,
    Scenario,
    VenueParameters,
    wad,
)
from deploy.devnet.venue.quotes import Quotes


pytestmark = pytest.mark.node

FILE = "liquidationTests.json"
SOLVENT = ("Test1", "Test2", "Test3", "Test4", "Test5", "Test6")
WORST = 0
# Measured: contract against float64 vector, relative to the larger of 1 USD and the value.
RELATIVE = 1e-12


def v1_scenarios() -> tuple[Scenario, ...]:
    """Spot 1.15 down to 0.85 by 0.05, volatility up, as it is, and down; no damping."""
    spots = ("1.15", "1.1", "1.05", "1", "0.95", "0.9", "0.85")
    return tuple((wad(spot), shock, wad("1")) for spot in spots for shock in (UP, NONE, DOWN))


def v1_margin() -> MarginParameters:
    """PMRM v1 with the parameters that make the vectors true."""
    return MarginParameters(
        scenarios=v1_scenarios(),
        basis=(wad("1.05"), wad("0.95"), 0, 0),
        margin=tuple(wad(each) for each in ("1", "1", "0", "0", "0", "0", "1", "0.95")),
        other=tuple(wad(each) for each in ("0.98", "2", "0.6", "1", "0.01", "0", "0.01", "0")),
        vol_shock=(wad("0.45"), wad("0.3"), wad("0.3"), wad("0.13"), 86_400, 0),
    )


AUCTION = AuctionParameters(
    starting_mtm=wad("0.98"),
    fast_cutoff=wad("0.8"),
    fast_length_s=100,
    slow_length_s=14_400,
    insolvent_length_s=600,
    fee_rate=wad("0.02"),
    buffer=wad("0.2"),
)


class Simulation:
    """One vector played on a fresh account of a shared venue."""

    def __init__(self, node: Node, venue: Venue, vector: dict[str, Any]) -> None:
        self.node, self.venue, self.vector = node, venue, vector
        self.book, self.sender = venue.books[0], venue.sender
        latest = node.call("eth_getBlockByNumber", "latest", False)
        self.start = int(latest["timestamp"], 16) + 10
        first = vector["InitialPortfolio"]
        self.expiry = self.start + first["OptionExpiries"][0]
        cash, manager = venue.core.cash.address, self.book.manager.address
        option = self.expiry | first["OptionStrikes"][0] // 10**10 << 32
        option |= first["OptionIsCall"][0] << 95
        held = (
            (cash, 0, first["Cash"]),
            (self.book.option.address, option, first["OptionAmounts"][0]),
        )
        bidder = SeedAccount(self.sender.address, manager, ((cash, 0, wad("100000")),))
        accounts = [SeedAccount(self.sender.address, manager, held)] + [bidder] * 3
        self.account, *self.bidders = seed(venue, accounts)

    def quote(self, at: int, portfolio: dict[str, Any]) -> None:
        """Queue the vector's feeds at second `at`; the vector's volatility is for tau = 1."""
        book, quotes = self.book, Quotes(self.start + at)
        spot, forward = portfolio["SpotPrice"], portfolio["Forwards"][0]
        quotes.spot(self.venue.core.stable_feed, portfolio["StablePrice"])
        quotes.spot(book.spot_feed, spot)
        for feed in (book.perp_feed, book.impact_ask_feed, book.impact_bid_feed):
            quotes.diff(feed, 0)
        quotes.forward(book.forward_feed, self.expiry, forward - spot)
        quotes.rate(book.rate_feed, self.expiry, 0)
        a, b, rho, m, sigma = (wad(str(each)) for each in portfolio["SVIparams"])
        quotes.vol(book.vol_feed, self.expiry, (a, b, rho, m, sigma), forward, wad("1"))
        quotes.queue(self.sender, self.venue.core.data_submitter)

    def mine(self, at: int) -> list[dict[str, Any]]:
        """Everything queued, in one block at second `at`; its logs."""
        self.node.call("evm_setNextBlockTimestamp", self.start + at)
        receipts = self.sender.flush()
        return [log for receipt in receipts for log in receipt["logs"]]

    def state(self) -> dict[str, int]:
        """Margins and largest fraction at the latest block."""
        auction, rpc = self.venue.core.auction, self.node.rpc
        mm, bm, mtm = auction.call(rpc, "getMarginAndMarkToMarket", self.account, WORST)
        most = auction.call(rpc, "getMaxProportion", self.account, WORST)
        return {"MtM": mtm, "MM": mm, "BM": bm, "FMax": most}

    def begin(self) -> dict[str, Any]:
        """Start the auction at second 0; the event."""
        self.quote(0, self.vector["InitialPortfolio"])
        self.sender.send(self.venue.core.auction, "startAuction", self.account, WORST)
        logs = self.mine(0)
        event: dict[str, Any] = self.venue.core.auction.events("SolventAuctionStarted", logs)[0]
        return event

    def step(self, index: int) -> tuple[dict[str, int], dict[str, Any]]:
        """One action: quotes, the state before, the bid; (state before, Bid event)."""
        action, auction = self.vector["Actions"][index], self.venue.core.auction
        self.quote(action["Time"], action["PortfolioAndFeeds"])
        self.mine(action["Time"])
        before = self.state()
        wanted = action["Liquidator"]["PercentWant"]
        bidder = self.bidders[index]
        self.sender.send(auction, "bid", self.account, bidder, wanted, 0, 0, gas=5_000_000)
        return before, auction.events("Bid", self.mine(action["Time"]))[0]


@pytest.fixture(scope="module")
def vectors(vectors_dir: Path) -> dict[str, Any]:
    file = vectors_dir / "derive_auction" / FILE
    if not file.exists():
        pytest.skip(f"no {file}: set KEEPER_VECTORS")
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


@pytest.fixture(scope="module")
def venue(node: Node) -> Venue:
    book = BookParameters("ETH", (), margin=v1_margin())
    return deploy_venue(node, VenueParameters(books=(book,), auction=AUCTION))


def error(got: int, want: int) -> float:
    return abs(got - want) / max(abs(want), wad("1"))


@pytest.mark.parametrize("name", SOLVENT)
def test_solvent_bids_follow_the_upstream_simulation(
    node: Node, venue: Venue, vectors: dict[str, Any], name: str
) -> None:
    vector = vectors[name]
    simulation = Simulation(node, venue, vector)
    fee = simulation.begin()["fee"]
    assert fee / wad("1") == pytest.approx(vector["LiquidationFee"], rel=1e-13)
    worst: dict[str, float] = {}
    for index in range(vector["ActionCount"]):
        before, bid = simulation.step(index)
        want = vector["Actions"][index]["Results"]
        seen = {f"Pre{key}": value for key, value in before.items()}
        seen |= {"fLiquidatedOfOriginal": bid["finalPercentage"]}
        seen |= {"ExpectedBidPrice": bid["cashFromBidder"]}
        seen |= {f"Post{key}": value for key, value in simulation.state().items()}
        errors = {key: error(value, want[key]) for key, value in seen.items()}
        worst = {key: max(value, worst.get(key, 0.0)) for key, value in errors.items()}
        assert bid["cashToBidder"] == 0
        live = venue.core.auction.call(node.rpc, "isAuctionLive", simulation.account)
        assert live == (want["PostFMax"] > 0), "a bid for the largest fraction ends the auction"
    assert max(worst.values()) <= RELATIVE, worst


def test_the_vectors_hold_ten_solvent_steps(vectors: dict[str, Any]) -> None:
    assert sum(vectors[name]["ActionCount"] for name in SOLVENT) == 10
