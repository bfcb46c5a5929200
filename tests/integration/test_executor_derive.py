"""Bids and starts on the real venue through the executor: what was decided must still be so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.venue.deployment import SeedAccount, seed
from deploy.devnet.venue.parameters import wad
from deploy.executor.standing import deploy, permission
from keeper.domain.effects import Call
from keeper.domain.units import from_wad
from keeper.liquidation.executor import Gain, Guard, Step, execute, reason
from keeper.liquidation.mechanisms.dutch_auction import Auction, AuctionParameters
from keeper.liquidation.strategy import Greeks, Opportunity, Proposal, Service
from keeper.protocols.derive.actions import calls
from keeper.protocols.derive.guarded import (
    Decided,
    GuardRule,
    cash_gain,
    guarded,
    guarded_gas,
    market_conditions,
    step_of,
    worth_gain,
)
from tests.integration.desk import Desk


pytestmark = pytest.mark.node

WHOLE = wad("1")
RULE = GuardRule()
CURVE = AuctionParameters(0.95, 0.7, 900, 43_200, 3_600, 0.1, 0.15, 0.0)


class Trade:
    """A venue with a breach, an executor that owns a bidder, and a lane that may use it."""

    def __init__(self, node: Node) -> None:
        self.desk = Desk(node)
        desk, core = self.desk, self.desk.core
        self.lane = desk.stranger(3)
        permissions = [
            permission(core.auction, "startAuction"),
            permission(core.auction, "bid"),
            permission(core.auction, "terminateAuction"),
            permission(core.auction_utils, "advancedBid"),
        ]
        owner = desk.stranger(4).address
        self.executor: Contract = deploy(desk.sender, owner, [self.lane.address], permissions)
        desk.mine()
        self.owner = Sender(node.rpc, owner)
        self.account = desk.open(desk.cash("5000"), desk.perp("10"))
        self.bidder = self.owned("50000")

    def owned(self, usd: str) -> int:
        """An account of the executor's, with cash."""
        desk = self.desk
        asset, sub_id, amount = desk.cash(usd)
        plan = SeedAccount(
            self.executor.address, desk.book.manager.address, ((asset.address, sub_id, amount),)
        )
        desk.node.call("evm_setNextBlockTimestamp", desk.now)
        return seed(desk.venue, [plan])[0]

    def decided(self) -> Decided:
        """Where a decision on the newest block stands."""
        head = self.desk.node.call("eth_getBlockByNumber", "latest", False)
        book = self.desk.book
        return Decided(
            int(head["number"], 16),
            int(head["timestamp"], 16),
            self.desk.core.auction.address.lower(),
            book.manager.address.lower(),
            book.spot_feed.address.lower(),
            book.perp_feed.address.lower(),
            self.desk.view(book.spot_feed, "getSpot")[0],
        )

    def opportunity(self) -> Opportunity:
        """The breach by the venue's own views, as a keeper would see it."""
        desk = self.desk
        mm, mtm, worst = desk.margin(self.account)
        auction = None
        if desk.view(desk.core.auction, "isAuctionLive", self.account):
            state = desk.view(desk.core.auction, "getAuction", self.account)
            view = ("getMarginAndMarkToMarket", self.account, state[1])
            under = desk.view(desk.core.auction, *view)
            auction = Auction(
                CURVE, state[2], state[5], state[1], from_wad(state[6]), from_wad(mtm),
                from_wad(under[0]),
            )  # fmt: skip
        return Opportunity(
            "derive", self.account, "ETH", (), (), from_wad(mtm), from_wad(mm), 35_000.0, worst,
            worst, (), Greeks(0, 0, 0, 0), 2, auction, False, desk.now,
        )  # fmt: skip

    def start_call(self) -> tuple[Call, Proposal]:
        to = self.desk.core.auction.address.lower()
        call = calls.start_auction(to, self.account, self.opportunity().scenario)
        return call, Proposal(Service.START)

    def bid_call(self, share: int = WHOLE // 10) -> tuple[Call, Proposal]:
        to = self.desk.core.auction.address.lower()
        call = calls.bid(to, self.account, self.bidder, share, wad("40000"))
        return call, Proposal(Service.BID, bidder=self.bidder)

    def decide(
        self, service: Service, rule: GuardRule = RULE, gains: tuple[Gain, ...] = ()
    ) -> Call:
        """A guarded call, decided on the newest block."""
        call, proposal = self.start_call() if service is Service.START else self.bid_call()
        decided = self.decided()
        step = step_of(call, self.opportunity(), proposal, decided, rule)
        return guarded(self.executor.address.lower(), step, decided, rule, gains)

    def refusal(self, call: Call) -> str | None:
        """Why a call by the lane reverts now; None where it does not."""
        request = {"from": self.lane.address, "to": call.to, "data": call.data}
        try:
            self.desk.node.call("eth_call", request | {"gas": hex(30_000_000)}, "pending")
        except RpcError as refused:
            return reason(str(refused.data)) or calls.reason(str(refused.data))
        return None

    def send(self, call: Call) -> dict[str, Any]:
        """Have the lane's transaction mined at the desk's time."""
        node = self.desk.node
        request = {"from": self.lane.address, "to": call.to, "data": call.data}
        hashed = node.call("eth_sendTransaction", request | {"gas": hex(30_000_000)})
        self.desk.mine_empty()
        return dict(node.call("eth_getTransactionReceipt", hashed))

    def auction_after(self, seconds: int) -> None:
        """Start the auction and let some of it pass."""
        self.desk.start_auction(self.account)
        self.desk.at(self.desk.now - self.desk.start + seconds)


@pytest.fixture
def trade() -> Any:
    with Node(NodeOptions(mining=False)) as node:
        yield Trade(node)


def test_a_guarded_start_and_a_guarded_bid_land(trade: Trade) -> None:
    receipt = trade.send(trade.decide(Service.START))
    assert receipt["status"] == "0x1"
    trade.desk.at(600)
    book, core = trade.desk.book, trade.desk.core
    gains = (
        worth_gain(book.manager.address.lower(), trade.bidder, wad("50")),
        cash_gain(
            core.sub_accounts.address.lower(),
            core.cash.address.lower(),
            trade.bidder,
            -wad("1000"),
        ),
    )
    receipt = trade.send(trade.decide(Service.BID, gains=gains))
    assert receipt["status"] == "0x1", trade.refusal(trade.decide(Service.BID, gains=gains))
    assert trade.desk.stored(trade.bidder, book.perp) > 0
    plain = calls.gas_limit(Service.BID, 2)
    assert int(receipt["gasUsed"], 16) < guarded_gas(plain, 2, len(gains)) < 2 * plain + 10**6


def test_what_guarding_costs_is_told(trade: Trade) -> None:
    trade.auction_after(600)
    call, _ = trade.bid_call()
    bare = execute(trade.executor.address.lower(), [Step(call)], guard_of_nothing(trade.decided()))
    costs = []
    for each in (bare, trade.decide(Service.BID)):
        request = {"from": trade.lane.address, "to": each.to, "data": each.data}
        costs.append(int(trade.desk.node.call("eth_estimateGas", request, "pending"), 16))
    assert 0 < costs[1] - costs[0] < guarded_gas(0, 2)


def guard_of_nothing(decided: Decided) -> Guard:
    return Guard(decided.number + 9, decided.timestamp_s + 10**6)


def moved_price(trade: Trade) -> None:
    trade.desk.at(trade.desk.now - trade.desk.start + 12, spot=3_100)


def old_feeds(trade: Trade) -> None:
    trade.desk.now += RULE.feed_age_s_max - 8
    trade.desk.mine_empty()


def another_bid(trade: Trade) -> None:
    desk = trade.desk
    rival = desk.open(desk.cash("50000"))
    bid = (trade.account, rival, WHOLE // 20, wad("40000"), 0)
    desk.do(desk.core.auction, "bid", *bid)


def another_scenario(trade: Trade) -> None:
    desk = trade.desk
    state = desk.view(desk.core.auction, "getAuction", trade.account)
    worse = next(
        index
        for index in range(len(desk.view(desk.book.manager, "getScenarios")))
        if desk.refusal(desk.core.auction, "updateScenarioId", trade.account, index) is None
        and index != state[1]
    )
    desk.do(desk.core.auction, "updateScenarioId", trade.account, worse)


def healed(trade: Trade) -> None:
    desk = trade.desk
    desk.at(desk.now - desk.start + 12, spot=4_000)
    desk.do(desk.core.auction, "terminateAuction", trade.account)


def past_its_blocks(trade: Trade) -> None:
    for _ in range(RULE.blocks_max + 1):
        trade.desk.mine_empty()


def chain_halted(trade: Trade) -> None:
    trade.desk.now += RULE.seconds_max + 1
    trade.desk.mine_empty()


LONG = replace(RULE, seconds_max=10**6, blocks_max=100)


@pytest.mark.parametrize(
    ("change", "rule", "name"),
    [
        (moved_price, LONG, "EX_ConditionFailed"),
        (old_feeds, replace(LONG, feed_age_s_max=100), "EX_ConditionFailed"),
        (another_bid, LONG, "EX_ConditionFailed"),
        (healed, replace(LONG, price_ppm_max=900_000), "EX_ConditionFailed"),
        (past_its_blocks, RULE, "EX_BlockPassed"),
        (chain_halted, RULE, "EX_TimestampPassed"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_bid_is_not_made_on_another_state_than_was_decided_on(
    trade: Trade, change: Callable[[Trade], None], rule: GuardRule, name: str
) -> None:
    trade.auction_after(600)
    call = trade.decide(Service.BID, rule)
    assert trade.refusal(call) is None
    change(trade)
    assert trade.refusal(call) == name
    assert trade.send(call)["status"] == "0x0"


def test_a_scenario_that_a_rival_made_worse_stops_the_bid(trade: Trade) -> None:
    # Started under a mild scenario, so that there is a worse one to be handed over.
    desk = trade.desk
    desk.at(12, spot=2_700)
    auction = desk.core.auction
    mild = next(
        index
        for index in range(len(desk.view(desk.book.manager, "getScenarios")))
        if index != desk.margin(trade.account)[2]
        and desk.refusal(auction, "startAuction", trade.account, index) is None
    )
    desk.do(auction, "startAuction", trade.account, mild)
    desk.at(600)
    call = trade.decide(Service.BID, LONG)
    assert trade.refusal(call) is None
    another_scenario(trade)
    assert trade.refusal(call) == "EX_ConditionFailed"


def converted(trade: Trade) -> None:
    desk = trade.desk
    desk.at(desk.now - desk.start + 50_000)
    desk.do(desk.core.auction, "convertToInsolventAuction", trade.account)


OLD = replace(LONG, feed_age_s_max=100)
CONDITIONS: dict[str, tuple[int, Callable[[Trade], None], GuardRule]] = {
    "auction kind": (1, converted, LONG),
    "auction live": (2, healed, LONG),
    "reserved cash": (3, another_bid, LONG),
    "mm": (4, moved_price, LONG),
    "mtm": (5, moved_price, LONG),
    "spot price": (6, moved_price, LONG),
    "age of the newest feed": (7, old_feeds, OLD),
}


@pytest.mark.parametrize("looked_at", CONDITIONS)
def test_each_condition_alone_stops_a_bid_when_what_it_looks_at_has_changed(
    trade: Trade, looked_at: str
) -> None:
    place, change, rule = CONDITIONS[looked_at]
    trade.auction_after(600)
    call, proposal = trade.bid_call()
    decided = trade.decided()
    step = step_of(call, trade.opportunity(), proposal, decided, rule)
    alone = (*step.conditions, *market_conditions(decided, rule))[place]
    far = guard_of_nothing(decided)
    guarded_alone = execute(
        trade.executor.address.lower(), [Step(call, (alone,))], replace(far, block_max=10**6)
    )
    assert trade.refusal(guarded_alone) is None
    change(trade)
    assert trade.refusal(guarded_alone) == "EX_ConditionFailed"


def test_a_bid_that_earns_less_than_decided_is_undone(trade: Trade) -> None:
    trade.auction_after(600)
    manager = trade.desk.book.manager.address.lower()
    for least, name in (("50", None), ("5000", "EX_GainTooSmall")):
        gains = (worth_gain(manager, trade.bidder, wad(least)),)
        assert trade.refusal(trade.decide(Service.BID, gains=gains)) == name


def test_a_copy_of_a_guarded_bid_is_refused_to_a_stranger(trade: Trade) -> None:
    trade.auction_after(600)
    call = trade.decide(Service.BID)
    copied = {"from": trade.desk.stranger(6).address, "to": call.to, "data": call.data}
    with pytest.raises(RpcError, match="0x23a03526"):
        trade.desk.node.call("eth_call", copied, "pending")
