"""Opportunities, strategies and calls against the real auction: the chain accepts what we propose.

Starts are allowed exactly where we see a breach; then one venue lives through every service.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.venue.deployment import SeedAccount, seed
from deploy.devnet.venue.parameters import VenueParameters, wad
from keeper.liquidation.limits import LimitParameters
from keeper.liquidation.strategy import Opportunity, Proposal, Service, Stock
from keeper.liquidation.triage import triage
from keeper.protocols.derive.actions import calls
from keeper.venue import Encoded
from strategies.dutch_auction import DutchAuction
from tests.integration.margin_world import (
    GAS,
    HOUR_S,
    Follower,
    Market,
    World,
    margins,
    snapshot_of,
)


pytestmark = pytest.mark.node

ACCOUNTS_A_BOOK = 24
FALLEN = {"ETH": 2_900.0, "BTC": 87_000.0}
GAS_PRICE_WEI = 10**9


class Keeper:
    """Our side of one world: state by logs, decisions, and transactions sent one a block."""

    def __init__(self, node: Node) -> None:
        self.world = world = World(node, VenueParameters(), 11)
        self.now = world.start
        self.interest: dict[int, float] = {}  # accrued, not stored, at the last look
        self.post(Market())
        world.open_books(ACCOUNTS_A_BOOK)
        self.owner = node.call("eth_accounts")[2].lower()
        self.bidders = tuple(
            self._bidder(book.manager.address, 10**7) for book in world.venue.books
        )
        self.direct = self._bidder(world.venue.books[0].manager.address, 10**7)
        config = replace(world.config, bidders=(*self.bidders, self.direct))
        self.follower = Follower(world.reads, config)
        self.venue = self.follower.venue
        approval = world.venue.core.sub_accounts.encode(
            "setApprovalForAll", world.venue.core.auction_utils.address, True
        )
        self.send(world.config.sub_accounts, approval, self.owner, 200_000)

    def _bidder(self, manager: str, usd: int) -> int:
        cash = (self.world.venue.core.cash.address, 0, usd * 10**18)
        self.now = self.world.start = self.world.start + 2
        self.world.node.call("evm_setNextBlockTimestamp", self.now)
        return seed(self.world.venue, [SeedAccount(self.owner, manager, (cash,))])[0]

    def post(self, market: Market, later_s: int = 30) -> None:
        self.now = self.world.start = self.world.start + later_s
        self.world.post(self.now, market)

    def opportunities(self) -> dict[int, Opportunity]:
        """Return what can be done at the latest block, by account."""
        self.follower.follow()
        found: dict[int, Opportunity] = {}
        for each in margins(self.venue, self.now):
            result = each.accrued
            accrued = each.book.accrued.tolist()
            self.interest.update(zip(each.book.accounts.tolist(), accrued, strict=True))
            rows = triage(result.excess, result.equity, result.defined).breaches
            for opportunity in self.venue.opportunities(each, rows):
                found[opportunity.account] = opportunity
        return found

    def stock(self) -> Stock:
        limits = LimitParameters()
        return Stock(self.venue.bidders(), GAS_PRICE_WEI, limits.gas_token_usd, 64)

    def encode(self, opportunity: Opportunity, service: Service) -> Encoded:
        return self.venue.encode(opportunity, Proposal(service))

    def preflight(self, encoded: Encoded) -> str:
        """Return "" where the call would succeed at the latest block, else why not."""
        call = encoded.call
        request = {
            "to": call.to,
            "data": call.data,
            "from": encoded.sender or self.owner,
            "gas": hex(encoded.gas),
        }
        try:
            self.world.node.call("eth_call", request, "latest")
        except RpcError as refused:
            return self.venue.reason(str(refused.data))
        return ""

    def carry_out(self, encoded: Encoded) -> int:
        """Send a call in a block of its own; it must succeed. Return the gas it used."""
        sender = encoded.sender or self.owner
        return self.send(encoded.call.to, encoded.call.data, sender, encoded.gas)

    def send(self, to: str, data: str, sender: str, gas: int) -> int:
        node = self.world.node
        self.now = self.world.start = self.world.start + 1
        request = {"from": sender, "to": to, "data": data, "gas": hex(gas)}
        sent = node.call("eth_sendTransaction", request)
        node.call("evm_setNextBlockTimestamp", self.now)
        node.call("evm_mine")
        receipt = node.call("eth_getTransactionReceipt", sent)
        assert receipt["status"] == "0x1"
        block = node.call("eth_getBlockByNumber", receipt["blockNumber"], False)
        self.now = self.world.start = int(block["timestamp"], 16)
        return int(receipt["gasUsed"], 16)


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    with Node(NodeOptions(mining=False)) as node:
        yield Keeper(node)


def pick(found: dict[int, Opportunity], *services: Service, solvent: bool = True) -> Opportunity:
    """Return the first opportunity with these services and nothing under it where solvent."""
    chosen = (
        each
        for each in found.values()
        if all(service in each.services for service in services)
        and (each.equity_usd > 0.0) is solvent
    )
    return next(chosen)


def test_a_start_is_allowed_exactly_where_we_see_a_breach(keeper: Keeper) -> None:
    keeper.post(Market(FALLEN))
    for _ in range(2):
        found = keeper.opportunities()
        ours = {account for account, each in found.items() if Service.START in each.services}
        allowed = set()
        for each in margins(keeper.venue, keeper.now):
            scenarios = each.book.method.scenarios
            for row, account in enumerate(each.book.accounts.tolist()):
                worst = int(each.accrued.worst[row])
                handed = worst if worst < scenarios else 0
                call = calls.start_auction(keeper.world.config.auction, account, handed)
                reason = keeper.preflight(Encoded(call, int(GAS, 16), None))
                if not reason:
                    allowed.add(account)
                elif reason != "DA_AccountIsAboveMaintenanceMargin":
                    assert not each.accrued.defined[row], reason

        assert ours == allowed - set(keeper.venue.owned())
        assert len(ours) >= 5
        # A week on, interest and funding have moved what the stored view does not show.
        keeper.post(Market(FALLEN), later_s=7 * HOUR_S)


def test_every_start_is_accepted_in_the_gas_we_gave_it(keeper: Keeper) -> None:
    keeper.post(Market(FALLEN))
    started = [each for each in keeper.opportunities().values() if Service.START in each.services]
    for each in started:
        encoded = keeper.encode(each, Service.START)
        used = keeper.carry_out(encoded)
        assert used <= encoded.gas
    keeper.post(Market(FALLEN))

    live = keeper.opportunities()

    assert {each.account for each in started} <= set(live)
    for each in started:
        again = live[each.account]
        assert again.auction is not None
        # The auction's own margin is the chain's, in the scenario it runs under, and interest.
        mm, _, mtm = keeper.world.venue.core.auction.call(
            keeper.world.node.rpc, "getMarginAndMarkToMarket", each.account, again.auction.scenario
        )
        interest = keeper.interest[each.account]
        assert again.auction.mm_excess_usd - interest == pytest.approx(mm / 1e18, rel=1e-9)
        assert again.equity_usd - interest == pytest.approx(mtm / 1e18, rel=1e-9)


@pytest.mark.parametrize("through_helper", [True, False])
def test_a_proposed_bid_is_accepted_pays_within_its_limit_and_ends_the_auction(
    keeper: Keeper, through_helper: bool
) -> None:
    keeper.post(Market(FALLEN))
    target = pick(keeper.opportunities(), Service.START)
    keeper.carry_out(keeper.encode(target, Service.START))
    keeper.post(Market(FALLEN), later_s=120)
    strategy = DutchAuction(profit_min_usd=0.0, risk_rate=0.0, through_helper=through_helper)
    live, stock = keeper.opportunities()[target.account], keeper.stock()

    appraisal = strategy.appraise(live, stock)
    assert appraisal is not None
    assert appraisal.service is Service.BID
    proposal = strategy.propose(live, appraisal, stock)
    assert proposal is not None
    encoded = keeper.venue.encode(live, proposal)
    assert keeper.preflight(encoded) == ""
    used = keeper.carry_out(encoded)

    assert used <= encoded.gas
    assert encoded.sender == keeper.owner
    assert live.auction is not None
    assert proposal.fraction >= live.auction.fraction_max(live.at_s)
    keeper.post(Market(FALLEN))
    keeper.follower.follow()
    assert target.account not in keeper.venue.tables.auctions
    slices = set(keeper.venue.owned()) - {*keeper.bidders, keeper.direct}
    assert len(slices) == int(through_helper)


def test_an_insolvent_auction_is_left_at_first_and_taken_for_its_payout(keeper: Keeper) -> None:
    keeper.post(Market(FALLEN))
    target = pick(keeper.opportunities(), Service.START, solvent=False)
    keeper.carry_out(keeper.encode(target, Service.START))
    strategy = DutchAuction(profit_min_usd=1.0, risk_rate=0.0, through_helper=True)
    keeper.post(Market(FALLEN), later_s=1)
    live = keeper.opportunities()[target.account]
    assert live.auction is not None
    assert live.auction.insolvent

    keeper.post(Market(FALLEN), later_s=HOUR_S)
    live, stock = keeper.opportunities()[target.account], keeper.stock()
    appraisal = strategy.appraise(live, stock)
    assert appraisal is not None
    proposal = strategy.propose(live, appraisal, stock)
    assert proposal is not None
    assert proposal.price_limit_usd < 0.0
    keeper.carry_out(keeper.venue.encode(live, proposal))

    keeper.post(Market(FALLEN))
    keeper.follower.follow()
    assert target.account not in keeper.venue.tables.auctions


def test_a_worse_scenario_a_conversion_and_an_end_are_accepted_when_we_say_so(
    keeper: Keeper,
) -> None:
    keeper.post(Market(FALLEN))
    for each in keeper.opportunities().values():
        if Service.START in each.services:
            keeper.carry_out(keeper.encode(each, Service.START))
    deep, high = {"ETH": 2_600.0, "BTC": 78_000.0}, {"ETH": 3_400.0, "BTC": 102_000.0}
    accepted = {Service.TERMINATE: 0, Service.UPDATE_SCENARIO: 0, Service.CONVERT: 0}
    for spots, later_s in ((deep, 60), (FALLEN, 60), (deep, 13 * HOUR_S), (high, 60)):
        keeper.post(Market(spots), later_s)
        for each in keeper.opportunities().values():
            for service in accepted:
                if service in each.services:
                    assert keeper.preflight(keeper.encode(each, service)) == "", (service, each)
                    accepted[service] += 1

    assert all(accepted.values()), accepted


def test_expired_options_are_settled_for_an_account_whose_margin_reverts(keeper: Keeper) -> None:
    world, expiry = keeper.world, keeper.world.expiries[0]
    keeper.post(Market(FALLEN), later_s=expiry - 650 - world.start)
    world.post_average(expiry + 1, expiry)
    world.start = expiry + 1
    keeper.post(Market(FALLEN), later_s=1_500)
    found = keeper.opportunities()
    target = next(each for each in found.values() if each.services == (Service.SETTLE_OPTIONS,))
    encoded = keeper.encode(target, Service.SETTLE_OPTIONS)

    used = keeper.carry_out(encoded)

    assert used <= encoded.gas
    keeper.post(Market(FALLEN))
    after = keeper.opportunities().get(target.account)
    assert after is None or Service.SETTLE_OPTIONS not in after.services


def test_an_account_s_own_lib_is_read_by_a_snapshot_and_left_undecided_by_logs_alone(
    keeper: Keeper,
) -> None:
    world = keeper.world
    book, sender = world.venue.books[0], world.venue.sender
    target = next(account for account, own in world.accounts.items() if own is book)
    keeper.post(Market())
    lib = sender.deploy("PMRMLib_2")
    margin = world.venue.parameters.books[0].margin
    sender.send(lib, "setBasisContingencyParams", margin.basis)
    sender.send(lib, "setMarginParams", (*margin.margin[:1], wad("1.9"), *margin.margin[2:]))
    sender.send(lib, "setOtherContingencyParams", margin.other)
    sender.send(lib, "setVolShockParams", margin.vol_shock)
    sender.send(lib, "setSkewShockParams", margin.skew)
    for collateral in book.collaterals:
        rules = (True, True, wad("0.1"), wad("0.1"))
        sender.send(lib, "setCollateralParameters", collateral.asset.address, rules)
    for account in [each for each, own in world.accounts.items() if own is book]:
        sender.send(book.manager, "setLibOverride", account, lib.address)
    keeper.now = world.start = world.start + 5
    world.node.call("evm_setNextBlockTimestamp", keeper.now)
    sender.flush()
    keeper.follower.follow()
    fresh = snapshot_of(world.reads, keeper.venue.config)
    truth = world.views()

    by_logs = {a for each in margins(keeper.venue, keeper.now)
               for a, ok in zip(each.book.accounts.tolist(), each.stored.defined, strict=True)
               if not ok}  # fmt: skip
    overridden = {account for account, own in world.accounts.items() if own is book}
    assert target in overridden <= by_logs
    compared = 0
    for each in margins(fresh, keeper.now):
        for row, account in enumerate(each.book.accounts.tolist()):
            view = truth.get(account)
            if view is None or view.margins is None or account not in overridden:
                continue
            compared += 1
            allowed = 1e-8 * max(1.0, float(each.stored.gross[row]))
            assert abs(float(each.stored.excess[row]) - view.margins[0]) <= allowed, account
    assert compared >= ACCOUNTS_A_BOOK - 2
