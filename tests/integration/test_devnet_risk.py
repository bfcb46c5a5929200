"""The development venue's risk manager: what it lets pass, what it refuses, what it settles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from deploy.devnet.chain.contract import Contract, TransactionFailed
from deploy.devnet.chain.node import Node
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.venue.deployment import Book, SeedAccount, Venue, deploy_venue, seed
from deploy.devnet.venue.parameters import HeartbeatParameters, VenueParameters, two_books, wad
from deploy.devnet.venue.quotes import Quotes


pytestmark = pytest.mark.node

DAY_S = 86_400
WINDOW_S = 1_800
BIG_GAS = 30_000_000
SMILE = (wad("0.01"), wad("0.08"), wad("-0.3"), wad("-0.05"), wad("0.2"))
NOTHING = bytes(32)


@dataclass
class Desk:
    """One venue with a fresh market; time and quotes move together."""

    node: Node
    venue: Venue
    now: int
    expiry: int

    @property
    def book(self) -> Book:
        return self.venue.books[0]

    def call(self, name: str, *arguments: Any) -> Any:
        return self.book.manager.call(self.node.rpc, name, *arguments)

    def send(self, contract: Contract, name: str, *arguments: Any) -> list[dict[str, Any]]:
        """One transaction; its logs."""
        logs: list[dict[str, Any]] = self.venue.sender.transact(
            contract, name, *arguments, gas=BIG_GAS
        )["logs"]
        return logs

    def quote(self, spot: str, ahead_s: int = 5) -> None:
        """Move the clock on and publish the whole market around `spot`."""
        self.now += ahead_s
        self.quotes(spot).queue(self.venue.sender, self.venue.core.data_submitter)
        self.node.call("evm_setNextBlockTimestamp", self.now)
        self.venue.sender.flush()

    def quotes(self, spot: str) -> Quotes:
        quotes, book = Quotes(self.now), self.book
        quotes.spot(book.spot_feed, wad(spot))
        quotes.spot(self.venue.core.stable_feed, wad("1"))
        for feed in (book.perp_feed, book.impact_ask_feed, book.impact_bid_feed):
            quotes.diff(feed, 0)
        for expiry in (self.expiry, self.expiry + 30 * DAY_S):
            quotes.forward(book.forward_feed, expiry, wad("5"))
            quotes.rate(book.rate_feed, expiry, wad("0.05"))
            quotes.vol(book.vol_feed, expiry, SMILE, wad("3005"), wad("0.1"))
        return quotes

    def option(self, strike: int, is_call: bool = True, expiry: int | None = None) -> int:
        chosen = self.expiry if expiry is None else expiry
        return chosen | strike * 10**8 << 32 | int(is_call) << 95

    def open(self, cash: str, *held: tuple[Contract, int, str]) -> int:
        """A seeded account with `cash` and what is held."""
        balances = [(self.venue.core.cash.address, 0, wad(cash))] if wad(cash) else []
        balances += [(asset.address, sub_id, wad(amount)) for asset, sub_id, amount in held]
        owner = self.venue.sender.address
        account = SeedAccount(owner, self.book.manager.address, tuple(balances))
        return seed(self.venue, [account])[0]

    def trade(
        self, giver: int, taker: int, asset: Contract, sub_id: int, amount: str, data: bytes = b""
    ) -> list[dict[str, Any]]:
        leg = (giver, taker, asset.address, sub_id, wad(amount), NOTHING)
        return self.send(self.venue.core.sub_accounts, "submitTransfer", leg, data)

    def refused(
        self,
        error: str,
        giver: int,
        taker: int,
        asset: Contract,
        sub_id: int,
        amount: str,
        data: bytes = b"",
    ) -> None:
        """The same trade, which must be refused with `error`."""
        with pytest.raises(TransactionFailed, match=selector(error)):
            self.trade(giver, taker, asset, sub_id, amount, data)


def selector(error: str) -> str:
    return keccak(text=f"{error}()")[:4].hex()


@pytest.fixture(scope="module")
def built(node: Node) -> Venue:
    beats = HeartbeatParameters().stretched(40 * DAY_S)
    return deploy_venue(node, VenueParameters(books=two_books()[:1], heartbeats=beats))


@pytest.fixture
def desk(node: Node, built: Venue) -> Desk:
    latest = int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    desk = Desk(node, built, latest + 10, latest + 30 * DAY_S)
    desk.quote("3000")
    return desk


def test_margin_is_the_worst_of_its_single_scenarios(desk: Desk) -> None:
    held = [(desk.book.option, desk.option(strike), "-2") for strike in (2600, 3000, 3400)]
    account = desk.open("9000", *held, (desk.book.perp, 0, "1.5"))
    for is_initial in (False, True):
        margin, mtm, worst = desk.call("getMarginAndMtM", account, is_initial)
        count = len(desk.call("getScenarios"))
        singles = [
            desk.call("getMarginAndMarkToMarket", account, is_initial, at) for at in range(count)
        ]
        assert {each[1] for each in singles} == {mtm}
        assert margin == min(each[0] for each in singles) == singles[worst][0]
        pnls = [desk.call("getScenarioPnL", account, at) for at in range(count)]
        assert pnls.index(min(pnls)) == worst


def test_scenario_beyond_the_last_is_a_panic_of_bounds(desk: Desk) -> None:
    account, count = desk.open("1000"), len(desk.call("getScenarios"))
    with pytest.raises(RpcError) as refused:
        desk.call("getMarginAndMarkToMarket", account, False, count)
    assert refused.value.data == "0x4e487b71" + f"{0x32:064x}"


def test_worst_index_is_the_number_of_scenarios_when_basis_is_worst(desk: Desk) -> None:
    far = desk.expiry + 30 * DAY_S
    held = [(desk.book.option, desk.option(3000), "-1")]
    account = desk.open("20000", *held, (desk.book.option, desk.option(3000, expiry=far), "1"))
    scenarios = desk.call("getScenarios")
    flat = [(wad("1"), 0, 0)]
    desk.send(desk.book.manager, "setScenarios", flat)
    assert desk.call("getMarginAndMtM", account, False)[2] == len(flat)
    desk.send(desk.book.manager, "setScenarios", list(scenarios))


def test_trade_that_leaves_initial_margin_below_zero_is_refused(desk: Desk) -> None:
    rich, poor = desk.open("500000"), desk.open("500")
    leg = (desk.book.option, desk.option(3000), "1")
    desk.refused("PMRM_2_InsufficientMargin", poor, rich, *leg)
    desk.trade(rich, poor, *leg)
    assert desk.call("getMargin", rich, True) > 0


def test_adding_collateral_needs_no_margin_at_all(desk: Desk) -> None:
    weth = desk.book.collaterals[0].asset
    rich, ruined = desk.open("0", (weth, 0, "10")), desk.open("-5000", (weth, 0, "0.1"))
    assert desk.call("getMargin", ruined, False) < 0
    desk.trade(rich, ruined, weth, 0, "1")
    desk.refused("PMRM_2_InsufficientMargin", ruined, rich, weth, 0, "0.5")


def test_trusted_assessor_may_leave_an_account_below_its_initial_margin(desk: Desk) -> None:
    manager, trader = desk.book.manager, desk.venue.sender.address
    leg = (desk.book.option, desk.option(3000), "1")
    probe = desk.open("10000", (desk.book.option, desk.option(3000), "-1"))
    lacking = (10**4 * 10**18 - desk.call("getMargin", probe, True)) // 10**18 - 1
    rich, thin = desk.open("500000"), desk.open(str(lacking))
    desk.refused("PMRM_2_InsufficientMargin", thin, rich, *leg)
    desk.send(manager, "setTrustedRiskAssessor", trader, True)
    desk.trade(thin, rich, *leg)
    desk.send(manager, "setTrustedRiskAssessor", trader, False)
    assert desk.call("getMargin", thin, True) < 0


def test_perpetual_profit_is_moved_to_cash_by_anybody_and_margin_stays(desk: Desk) -> None:
    account = desk.open("5000", (desk.book.perp, 0, "2"))
    desk.quote("3100")
    before = desk.call("getMarginAndMtM", account, False)
    logs = desk.send(desk.book.manager, "settlePerpsWithIndex", account)
    settled = desk.book.manager.events("PerpSettled", logs)
    assert [each["pnl"] for each in settled] == [wad("200")]
    after = desk.call("getMarginAndMtM", account, False)
    # One more second of funding has passed, nothing else.
    assert abs(after[0] - before[0]) < wad("0.01")


def test_expired_option_blocks_the_view_until_it_is_settled(desk: Desk) -> None:
    manager, option = desk.book.manager, desk.book.option
    expiry = desk.now + 100
    desk.node.call("evm_setNextBlockTimestamp", expiry)
    quotes = desk.quotes("3000")
    quotes.timestamp = expiry
    quotes.forward(desk.book.forward_feed, expiry, 0, aggregates=(0, wad("3200") * WINDOW_S))
    quotes.rate(desk.book.rate_feed, expiry, 0)
    quotes.vol(desk.book.vol_feed, expiry, SMILE, wad("3000"), wad("0.1"))
    quotes.queue(desk.venue.sender, desk.venue.core.data_submitter)
    desk.venue.sender.flush()
    calls, puts = desk.option(3000, True, expiry), desk.option(3000, False, expiry)
    account = desk.open("10000", (option, calls, "-2"), (option, puts, "1"))
    assert desk.call("getMargin", account, False) > 0
    desk.send(desk.book.vol_feed, "setHeartbeat", 10)
    desk.quote("3000", 200)
    with pytest.raises(RpcError) as stale:
        desk.call("getMargin", account, False)
    assert stale.value.data == "0x" + selector("BLF_DataTooOld")
    desk.send(desk.book.vol_feed, "setHeartbeat", 40 * DAY_S)
    settled = manager.events(
        "OptionSettled", desk.send(manager, "settleOptions", option.address, account)
    )
    assert [each["value"] for each in settled] == [-wad("400"), 0]
    left = desk.venue.core.sub_accounts.call(desk.node.rpc, "getAccountBalances", account)
    assert [each[0] for each in left] == [desk.venue.core.cash.address.lower()]
    # Two hundred seconds of interest came on top.
    assert 0 <= left[0][2] - wad("9600") < wad("0.001")


def test_unknown_asset_and_too_many_expiries_are_refused_by_name(desk: Desk) -> None:
    rich, taker = desk.open("500000"), desk.open("1000")
    manager, option = desk.book.manager, desk.book.option
    desk.send(manager, "setMaxExpiries", 1)
    desk.trade(rich, taker, option, desk.option(3000), "0.1")
    far = desk.option(3000, True, desk.expiry + 30 * DAY_S)
    desk.refused("PMRM_2_TooManyExpiries", rich, taker, option, far, "0.1")
    desk.send(manager, "setMaxExpiries", 11)
    with pytest.raises(TransactionFailed, match=selector("PMRM_2_UnsupportedAsset")):
        desk.send(manager, "settleOptions", desk.book.perp.address, rich)


def test_too_many_assets_are_refused_by_name(desk: Desk) -> None:
    rich = desk.open("5000000")
    held = [(desk.book.option, desk.option(3000 + at), "0.1") for at in range(8)]
    taker = desk.open("1000", *held[:7])
    desk.send(desk.book.manager, "setMaxAccountSize", 8)
    desk.refused("PMRM_2_TooManyAssets", rich, taker, *held[7])
    desk.send(desk.book.manager, "setMaxAccountSize", 128)


def test_transfer_may_carry_feed_data_to_whitelisted_receivers_only(desk: Desk) -> None:
    rich, taker = desk.open("5000"), desk.open("1000")
    manager, cash = desk.book.manager, desk.venue.core.cash
    desk.now += 50
    quotes = Quotes(desk.now)
    quotes.spot(desk.book.spot_feed, wad("3010"))
    feed = desk.book.spot_feed.address
    data = encode(["(address,bytes)[]"], [quotes.batch])
    desk.send(manager, "setWhitelistedCallee", feed, False)
    desk.node.call("evm_setNextBlockTimestamp", desk.now)
    desk.refused("BM_UnauthorizedCall", rich, taker, cash, 0, "1", data=data)
    desk.send(manager, "setWhitelistedCallee", feed, True)
    desk.trade(rich, taker, cash, 0, "1", data)
    assert desk.book.spot_feed.call(desk.node.rpc, "getSpot")[0] == wad("3010")


def test_paused_adjustments_refuse_even_a_deposit(desk: Desk) -> None:
    rich, taker = desk.open("5000"), desk.open("1000")
    manager, cash = desk.book.manager, desk.venue.core.cash
    desk.send(manager, "setAdjustmentsPaused", True)
    desk.refused("BM_AdjustmentsPaused", rich, taker, cash, 0, "1")
    desk.send(manager, "setAdjustmentsPaused", False)
    desk.trade(rich, taker, cash, 0, "1")


def test_account_in_an_auction_takes_no_deposit(desk: Desk) -> None:
    core = desk.venue.core
    rich = desk.open("5000")
    short = (desk.book.option, desk.option(3000), "-10")
    account = desk.open("4000", short)
    margin, mtm, worst = desk.call("getMarginAndMtM", account, False)
    assert margin < 0 < mtm
    desk.send(core.auction, "startAuction", account, worst)
    desk.refused("BM_AccountUnderLiquidation", rich, account, core.cash, 0, "1")


def test_library_of_one_account_may_differ_from_that_of_all_others(desk: Desk) -> None:
    manager, other = desk.book.manager, desk.venue.sender.deploy("PMRMLib_2")
    plain, chosen = (desk.open("9000", (desk.book.perp, 0, "2")) for _ in range(2))
    lib = desk.book.lib
    for name in ("BasisContingency", "VolShock", "SkewShock", "Margin"):
        same = lib.call(desk.node.rpc, f"get{name}Params")
        desk.venue.sender.send(other, f"set{name}Params", same)
    charges = list(lib.call(desk.node.rpc, "getOtherContingencyParams"))
    charges[4] *= 2
    desk.venue.sender.send(other, "setOtherContingencyParams", tuple(charges))
    logs = desk.send(manager, "setLibOverride", chosen, other.address)
    assert manager.events("LibOverrideUpdated", logs)[0]["accountId"] == chosen
    assert desk.call("getAccountLib", chosen) == other.address.lower()
    assert desk.call("getAccountLib", plain) == lib.address.lower()
    assert desk.call("getMargin", chosen, False) < desk.call("getMargin", plain, False)


@pytest.mark.parametrize("name", ["executeBid", "payLiquidationFee"])
def test_only_the_auction_moves_balances_of_others(desk: Desk, name: str) -> None:
    victim, thief = desk.open("5000"), desk.open("1")
    rest = (wad("1"), 0, 0) if name == "executeBid" else (wad("1"),)
    with pytest.raises(TransactionFailed, match=selector("BM_OnlyLiquidationModule")):
        desk.send(desk.book.manager, name, victim, thief, *rest)


def test_strike_of_zero_makes_a_skewed_margin_overflow(desk: Desk) -> None:
    account = desk.open("5000", (desk.book.option, desk.option(0), "1"))
    with pytest.raises(RpcError) as refused:
        desk.call("getMargin", account, False)
    assert refused.value.data == "0x" + selector("Overflow")
    plain = desk.call("getMarginAndMarkToMarket", account, False, 0)
    assert plain[1] > wad("5000")
