"""What the shipped strategies want, service by service, and what they must never do."""

from dataclasses import replace

import pytest

from keeper.domain.errors import ConfigError
from keeper.liquidation.mechanisms.dutch_auction import Auction, AuctionParameters
from keeper.liquidation.strategy import Bidder, Greeks, Opportunity, Proposal, Service, Stock
from strategies.dutch_auction import DutchAuction
from strategies.flag_only import FlagOnly


OWNER = "0x" + "0a" * 20
CURVE = AuctionParameters(0.95, 0.70, 900, 43_200, 3_600, 0.10, 0.15, 0.0)
SOLVENT = Auction(CURVE, False, 1_000, 3, 0.0, 10_000.0, -4_000.0)
INSOLVENT = Auction(CURVE, True, 1_000, 3, 0.0, -1_000.0, -5_000.0)
FAST_END = 1_900


def seen(
    *services: Service,
    auction: Auction | None = None,
    excess: float = -4_000.0,
    at_s: int = FAST_END,
    suspect: bool = False,
) -> Opportunity:
    return Opportunity(
        venue="derive",
        account=7,
        underlying="ETH",
        services=services,
        gas=tuple(1_000_000 + index for index in range(len(services))),
        equity_usd=10_000.0,
        excess_usd=excess,
        gross_usd=100_000.0,
        worst=3,
        scenario=3,
        ladder=(0.0, -1.0),
        greeks=Greeks(1.0, 0.0, 0.0, 0.0),
        positions=4,
        auction=auction,
        suspect=suspect,
        at_s=at_s,
    )


def bidder(account: int, cash: float = 50_000.0, ready: bool = True) -> Bidder:
    return Bidder(account, OWNER, "ETH", cash, ready)


def stock(*bidders: Bidder, gas_price_wei: int = 10**9) -> Stock:
    return Stock(bidders, gas_price_wei, 3_000.0, 64)


def propose(
    strategy: FlagOnly | DutchAuction, opportunity: Opportunity, spending: Stock
) -> Proposal | None:
    appraisal = strategy.appraise(opportunity, spending)
    return None if appraisal is None else strategy.propose(opportunity, appraisal, spending)


LIVE_BID = seen(Service.BID, auction=SOLVENT)


@pytest.mark.parametrize(
    ("services", "chosen"),
    [
        ((Service.SETTLE_OPTIONS, Service.START), Service.START),
        ((Service.BID, Service.SETTLE_OPTIONS), Service.SETTLE_OPTIONS),
        ((Service.CONVERT, Service.UPDATE_SCENARIO), Service.CONVERT),
        ((Service.TERMINATE, Service.UPDATE_SCENARIO), Service.UPDATE_SCENARIO),
        ((Service.TERMINATE,), Service.TERMINATE),
        ((Service.BID,), None),
        ((), None),
    ],
)
def test_flag_only_serves_the_most_urgent_and_never_bids(
    services: tuple[Service, ...], chosen: Service | None
) -> None:
    opportunity = seen(*services, auction=SOLVENT)

    proposal = propose(FlagOnly(), opportunity, stock(bidder(9)))

    assert (proposal.service if proposal else None) is chosen
    assert proposal is None or (proposal.bidder, proposal.cash_usd) == (None, 0.0)


def test_a_start_saves_the_shortfall_and_costs_its_gas() -> None:
    appraisal = FlagOnly().appraise(seen(Service.START), stock())

    assert appraisal is not None
    assert (appraisal.loss_saved_usd, appraisal.risk_usd, appraisal.gas) == (
        4_000.0,
        0.0,
        1_000_000,
    )
    assert appraisal.profit_usd == pytest.approx(-3.0)


def test_a_start_goes_on_when_a_quote_is_suspect_and_a_bid_does_not() -> None:
    strategy, spending = DutchAuction(), stock(bidder(9))

    assert propose(strategy, seen(Service.START, suspect=True), spending) == Proposal(Service.START)
    assert propose(strategy, LIVE_BID, spending) is not None
    assert propose(strategy, replace(LIVE_BID, suspect=True), spending) is None


def test_breaches_below_the_least_shortfall_are_left_alone() -> None:
    strategy = FlagOnly(shortfall_min_usd=4_000.5)

    assert propose(strategy, seen(Service.START), stock()) is None
    assert propose(strategy, seen(Service.START, excess=-4_001.0), stock()) is not None


def test_a_scenario_is_updated_only_where_it_is_worse_by_enough() -> None:
    strategy = FlagOnly(update_min_usd=10.0)
    update = seen(Service.UPDATE_SCENARIO, auction=SOLVENT, excess=-4_009.0)

    assert propose(strategy, update, stock()) is None
    assert propose(strategy, replace(update, excess_usd=-4_010.0), stock()) is not None
    ending = replace(update, services=(Service.UPDATE_SCENARIO, Service.TERMINATE), gas=(1, 2))
    assert propose(strategy, ending, stock()) == Proposal(Service.UPDATE_SCENARIO)


def test_start_and_settle_come_before_a_bid_and_a_bid_before_the_rest() -> None:
    strategy, spending = DutchAuction(), stock(bidder(9))
    both = seen(Service.UPDATE_SCENARIO, Service.BID, auction=SOLVENT, excess=-6_000.0)
    expired = seen(Service.SETTLE_OPTIONS, Service.BID, auction=SOLVENT)

    bid, settle = propose(strategy, both, spending), propose(strategy, expired, spending)

    assert bid is not None
    assert bid.service is Service.BID
    assert settle == Proposal(Service.SETTLE_OPTIONS)
    assert propose(strategy, both, stock()) == Proposal(Service.UPDATE_SCENARIO)


def test_a_bid_is_counted_at_what_the_auction_sells_and_asks_a_little_more() -> None:
    strategy = DutchAuction(cash_headroom=0.05)
    spending = stock(bidder(9))
    limit = SOLVENT.fraction_max(FAST_END)

    appraisal = strategy.appraise(LIVE_BID, spending)
    proposal = propose(strategy, LIVE_BID, spending)

    assert appraisal is not None
    assert proposal is not None
    assert appraisal.profit_usd == pytest.approx(limit * 10_000.0 * 0.3 - 3.0)
    assert proposal.fraction == pytest.approx(limit * 1.05)
    assert proposal.cash_usd == pytest.approx(SOLVENT.cash_needed(FAST_END, limit * 1.05) * 1.05)
    assert proposal.price_limit_usd == pytest.approx(7_000.0 * limit * 1.05 * 1.01)


@pytest.mark.parametrize("cash", [0.5, 300.0, 1_000.0, 3_000.0, 1e6])
@pytest.mark.parametrize("through_helper", [False, True])
@pytest.mark.parametrize("auction", [SOLVENT, INSOLVENT])
def test_a_bid_never_needs_more_cash_than_its_account_has(
    cash: float, through_helper: bool, auction: Auction
) -> None:
    strategy = DutchAuction(profit_min_usd=0.0, risk_rate=0.0, through_helper=through_helper)
    opportunity = seen(Service.BID, auction=auction, excess=-5_500.0, at_s=1_060)

    proposal = propose(strategy, opportunity, stock(bidder(9, cash), gas_price_wei=0))

    if cash < 100.0:
        assert proposal is None  # a slice below `fraction_min`
        return
    assert proposal is not None
    assert proposal.cash_usd <= cash
    assert auction.cash_needed(1_060, proposal.fraction) <= proposal.cash_usd * (1 + 1e-12)


def test_cash_for_an_insolvent_bid_covers_the_scenario_a_rival_may_set() -> None:
    at_start = seen(Service.BID, auction=INSOLVENT, excess=-9_000.0, at_s=4_600)
    strategy = DutchAuction(profit_min_usd=0.0, risk_rate=0.0, cash_headroom=0.0)

    early = propose(strategy, replace(at_start, at_s=1_000 + 1_800), stock(bidder(9)))

    # Under the worst scenario: 9000 less what it would pay half way, 1000 + 8000 / 2.
    assert early is not None
    assert early.cash_usd == pytest.approx(4_000.0)


@pytest.mark.parametrize(("share", "bids"), [(0.999, True), (1.001, False)])
def test_profit_after_gas_and_risk_must_reach_the_least(share: float, bids: bool) -> None:
    limit = SOLVENT.fraction_max(FAST_END)
    net = limit * (3_000.0 - 0.01 * 100_000.0) - 3.0
    strategy = DutchAuction(profit_min_usd=share * net, risk_rate=0.01)

    assert (propose(strategy, LIVE_BID, stock(bidder(9))) is not None) is bids


def test_gas_that_eats_the_profit_stops_the_bid() -> None:
    assert propose(DutchAuction(), LIVE_BID, stock(bidder(9), gas_price_wei=10**12)) is None


def test_an_insolvent_auction_is_left_until_its_payout_beats_the_loss() -> None:
    strategy, spending = DutchAuction(), stock(bidder(9))
    opening = seen(Service.BID, auction=INSOLVENT, excess=-5_000.0, at_s=1_000)

    assert propose(strategy, opening, spending) is None
    later = propose(strategy, replace(opening, at_s=2_800), spending)

    # Half way it pays 3000: at least 1 % less of that must come in.
    assert later is not None
    assert later.fraction == 1.0
    assert later.price_limit_usd == pytest.approx(-2_970.0)


def test_a_fully_paid_insolvent_bid_still_brings_the_one_balance_a_bidder_must_hold() -> None:
    paid = seen(Service.BID, auction=INSOLVENT, excess=-5_000.0, at_s=9_999)

    proposal = propose(DutchAuction(through_helper=True), paid, stock(bidder(9)))

    assert proposal is not None
    assert proposal.cash_usd == 1.0


def test_a_direct_bid_takes_a_ready_account_once_and_never_another_underlying() -> None:
    strategy = DutchAuction()
    spending = stock(bidder(9, 90_000.0, ready=False), bidder(10, 80_000.0), bidder(11, 70_000.0))
    bidders = []
    for _ in range(3):
        proposal = propose(strategy, LIVE_BID, spending)
        bidders.append(proposal.bidder if proposal else None)
        if proposal:
            spending.debit(proposal)

    assert bidders == [10, 11, None]
    assert propose(strategy, replace(LIVE_BID, underlying="BTC"), stock(bidder(9))) is None


def test_through_the_helper_an_account_that_is_not_ready_pays_until_its_cash_ends() -> None:
    strategy = DutchAuction(through_helper=True, fraction_min=0.2)
    spending = stock(bidder(9, 12_000.0, ready=False))
    spent = []
    for _ in range(6):
        proposal = propose(strategy, LIVE_BID, spending)
        if proposal:
            assert proposal.through_helper
            spending.debit(proposal)
            spent.append(proposal.cash_usd)

    assert 1 < len(spent) < 6
    assert sum(spent) <= 12_000.0


def test_an_account_never_bids_on_itself() -> None:
    assert propose(DutchAuction(), LIVE_BID, stock(bidder(7))) is None


def test_the_same_stock_gives_the_same_proposal() -> None:
    proposals = [propose(DutchAuction(), LIVE_BID, stock(bidder(9), bidder(8))) for _ in range(2)]

    assert proposals[0] == proposals[1]
    assert proposals[0] is not None
    assert proposals[0].bidder == 8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"profit_minimum": 1.0}, r"strategy\.parameters\.profit_minimum = 1\.0: unknown; known"),
        ({"risk_rate": "high"}, r"risk_rate = 'high': must be a number"),
        ({"risk_rate": True}, "must be a number"),
        ({"risk_rate": 1.5}, "at least 0 and at most 1"),
        ({"profit_min_usd": float("nan")}, "must be at least 0"),
        ({"through_helper": 1}, "must be true or false"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name_and_the_cure(
    given: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        DutchAuction(**given)


def test_whole_numbers_are_taken_where_a_number_is_asked() -> None:
    assert DutchAuction(profit_min_usd=25).parameters.profit_min_usd == 25.0
    assert FlagOnly(update_min_usd=2).parameters.update_min_usd == 2.0


@pytest.mark.parametrize("hurry", [True, False])
def test_every_proposal_asks_to_be_hurried_where_the_operator_says_so(hurry: bool) -> None:
    start = propose(FlagOnly(hurry=hurry), seen(Service.START), stock())
    bid = propose(DutchAuction(hurry=hurry), seen(Service.BID, auction=SOLVENT), stock(bidder(1)))
    assert start is not None
    assert bid is not None
    assert (start.hurried, bid.hurried) == (hurry, hurry)
