"""The venue's rules: which services an account's state allows, and what an opportunity carries."""

from dataclasses import replace

import numpy as np
import pytest

from keeper.liquidation.mechanisms.dutch_auction import Auction, AuctionParameters
from keeper.liquidation.strategy import Opportunity, Service
from keeper.liquidation.triage import triage
from keeper.margin.book import Kind
from keeper.market.quotes import Quote
from keeper.protocols.derive.actions.opportunities import State, select, services_of
from keeper.venue import Margined
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.deployment import KEEPER, NOW, SOON, WAD, Deployment, wad


CURVE = AuctionParameters(0.95, 0.70, 900, 43_200, 3_600, 0.10, 0.15, 0.0)
LENGTH = 900 + 43_200
SOLVENT = Auction(CURVE, False, 0, 3, 0.0, 1_000.0, -400.0)
INSOLVENT = Auction(CURVE, True, 0, 3, 0.0, -100.0, -500.0)
HEALTHY = State(True, True, 1_000.0, 10.0, 1e5, None, False, 10)
BREACH = replace(HEALTHY, excess_usd=-400.0)
LIVE = replace(BREACH, auction=SOLVENT)
BACK = replace(LIVE, auction=replace(SOLVENT, mm_excess_usd=1.0), excess_usd=1.0)
HEALED = replace(LIVE, auction=replace(SOLVENT, mm_excess_usd=200.0), excess_usd=200.0)
UNDER = replace(LIVE, auction=INSOLVENT, equity_usd=-100.0, excess_usd=-500.0)
ZERO = replace(UNDER, auction=replace(INSOLVENT, mm_excess_usd=0.0), excess_usd=0.0)
START, BID, SETTLE = Service.START, Service.BID, Service.SETTLE_OPTIONS
TERMINATE, CONVERT, UPDATE = Service.TERMINATE, Service.CONVERT, Service.UPDATE_SCENARIO


@pytest.mark.parametrize(
    ("state", "services"),
    [
        (HEALTHY, ()),
        (BREACH, (START,)),
        (replace(BREACH, equity_usd=-50.0), (START,)),
        (replace(BREACH, expired=True), (START, SETTLE)),
        (replace(HEALTHY, expired=True), (SETTLE,)),
        (replace(BREACH, defined=False), ()),
        (replace(BREACH, defined=False, expired=True), (SETTLE,)),
        (replace(BREACH, startable=False), ()),
        (replace(LIVE, defined=False), ()),
        (LIVE, (BID,)),
        (replace(LIVE, expired=True), (SETTLE, BID)),
        (replace(LIVE, excess_usd=-400.1), (BID, UPDATE)),
        (replace(LIVE, excess_usd=-400.000001), (BID,)),  # a tie in float64, not a worse scenario
        (replace(LIVE, at_s=LENGTH), (BID,)),
        (replace(LIVE, at_s=LENGTH + 1), (CONVERT,)),
        (replace(LIVE, at_s=LENGTH + 1, excess_usd=-500.0), (CONVERT, UPDATE)),
        # Margin is back, but not its buffer: the auction goes on.
        (BACK, (BID,)),
        (HEALED, (TERMINATE,)),
        # Past the end the buffer is not asked.
        (replace(BACK, at_s=LENGTH + 1), (TERMINATE,)),
        # Healed under its own scenario only: a worse one keeps the auction alive.
        (replace(HEALED, excess_usd=-400.0), (UPDATE, TERMINATE)),
        # Gone under while solvent: no scenario can help, it ends and starts again as insolvent.
        (replace(LIVE, auction=replace(SOLVENT, equity_usd=-1.0), excess_usd=-900.0), (TERMINATE,)),
        (replace(LIVE, auction=replace(SOLVENT, reserved_usd=1_000.0)), (TERMINATE,)),
        (UNDER, (BID,)),
        (replace(UNDER, at_s=99_999), (BID,)),
        (replace(UNDER, excess_usd=-600.0), (BID, UPDATE)),
        (ZERO, (TERMINATE,)),
    ],
)
def test_the_services_of_an_account_follow_from_its_state(
    state: State, services: tuple[Service, ...]
) -> None:
    assert services_of(state) == services


def margined(deployment: Deployment, now: int = NOW) -> list[Margined]:
    deployment.venue.accrue(now)
    results = []
    for book in deployment.venue.books():
        stored = book.method.require(book.book, book.market)
        results.append(Margined(book, stored, stored.with_cash(book.accrued)))
    return results


def found(deployment: Deployment, now: int = NOW) -> dict[int, Opportunity]:
    opportunities: dict[int, Opportunity] = {}
    for each in margined(deployment, now):
        result = each.accrued
        rows = triage(result.excess, result.equity, result.defined).breaches
        for opportunity in deployment.venue.opportunities(each, rows):
            opportunities[opportunity.account] = opportunity
    return opportunities


def short_call(deployment: Deployment, account: int, cash: float, owner: str = on.ALICE) -> None:
    deployment.account(account, cash, (Kind.CALL, SOON, 2_000.0, -1.0), owner=owner)


def test_a_breach_is_an_opportunity_to_start_with_its_figures() -> None:
    deployment = Deployment()
    short_call(deployment, 1, 5_000.0)
    short_call(deployment, 2, 150.0)
    (each,) = margined(deployment)

    opportunities = found(deployment)

    assert list(opportunities) == [2]
    seen = opportunities[2]
    assert seen.services == (START,)
    assert seen.excess_usd == pytest.approx(float(each.accrued.excess[1]))
    assert seen.excess_usd < 0.0 < seen.equity_usd
    assert (seen.underlying, seen.positions, seen.at_s) == ("ETH", 1, NOW)
    assert seen.worst == seen.scenario == 0
    assert len(seen.ladder) == 5
    assert seen.ladder[0] == min(seen.ladder)
    assert -1.0 < seen.greeks.delta < 0.0
    assert seen.greeks.vega < 0.0
    assert not seen.suspect
    assert len(seen.gas) == 1


def test_breaches_come_first_in_their_order_then_those_of_attention() -> None:
    deployment = Deployment()
    short_call(deployment, 1, 5_000.0)
    short_call(deployment, 2, 150.0)
    short_call(deployment, 3, 100.0)
    deployment.auction(1)

    assert list(found(deployment)) == [3, 2, 1]


def test_interest_alone_makes_a_breach_that_the_stored_view_does_not_show() -> None:
    deployment = Deployment()
    deployment.account(1, 0.0, (Kind.BASE, 0, 0.0, 10.0))
    (each,) = margined(deployment)
    debt = -float(each.stored.excess[0]) + 1e-3
    deployment.tables.cash.set(deployment.tables.row(1), wad(debt))
    assert found(deployment) == {}
    late = NOW + 3_600
    deployment.quotes(late)

    (each,) = margined(deployment, late)
    opportunities = found(deployment, late)

    assert each.stored.excess[0] > 0.0
    assert opportunities[1].services == (START,)
    assert opportunities[1].excess_usd == pytest.approx(float(each.accrued.excess[0]))


def test_a_worst_case_without_an_index_is_handed_over_as_a_valid_one() -> None:
    deployment = Deployment()
    row = deployment.tables.basis[on.LIB]
    deployment.tables.basis.set(on.LIB, row._replace(add_factor=50 * WAD))
    short_call(deployment, 1, 150.0)

    seen = found(deployment)[1]

    assert seen.worst == 4
    assert seen.scenario == 0
    assert seen.ladder[4] == min(seen.ladder)


def test_a_live_auction_carries_the_margin_under_its_own_scenario() -> None:
    deployment = Deployment()
    short_call(deployment, 1, 150.0)
    deployment.auction(1, scenario=2, started_at=NOW - 60)
    deployment.tables.auctions.set(1, deployment.tables.auctions[1]._replace(reserved=wad(12.5)))

    seen = found(deployment)[1]

    assert seen.auction is not None
    assert (seen.auction.scenario, seen.auction.reserved_usd) == (2, 12.5)
    assert seen.auction.mm_excess_usd > seen.excess_usd
    assert Service.UPDATE_SCENARIO in seen.services
    assert seen.auction.parameters.start == 0.95


def test_an_auction_under_a_scenario_that_is_gone_is_left_alone() -> None:
    deployment = Deployment()
    short_call(deployment, 1, 150.0)
    deployment.auction(1, scenario=9)

    assert found(deployment) == {}


def test_what_nothing_can_be_done_about_is_no_opportunity() -> None:
    deployment = Deployment()
    short_call(deployment, 1, 150.0)
    deployment.tables.whitelist.set(on.MANAGER, False)

    assert found(deployment) == {}


def test_expired_options_can_be_settled_even_where_the_margin_view_reverts() -> None:
    deployment = Deployment()
    short_call(deployment, 1, 150.0)
    late = SOON + 5_000
    deployment.quotes(late)
    deployment.tables.vols.set(
        (on.VOL_FEED, SOON), deployment.tables.vols[(on.VOL_FEED, SOON)]._replace(timestamp=SOON)
    )
    assert found(deployment, late) == {}

    deployment.tables.settled.set((on.FORWARD_FEED, SOON), wad(2_100.0))
    seen = found(deployment, late)[1]

    assert seen.services == (SETTLE,)
    assert seen.excess_usd == 0.0


def test_our_own_accounts_and_their_owner_s_slices_are_never_served() -> None:
    deployment = Deployment()
    deployment.account(90, 1_000.0, owner=KEEPER)
    short_call(deployment, 4, 150.0, owner=KEEPER)
    short_call(deployment, 5, 150.0)

    assert list(found(deployment)) == [5]
    assert deployment.venue.owned() == (4, 90, 91)


@pytest.mark.parametrize(
    ("feed", "doubted"),
    [(on.SPOT_FEED, [1, 2]), (on.STABLE_FEED, [1, 2]), (on.COIN_FEED, [2]), (on.PERP_FEED, [])],
)
def test_a_doubted_price_makes_suspect_what_stands_on_it(feed: str, doubted: list[int]) -> None:
    deployment = Deployment()
    short_call(deployment, 1, 150.0)
    deployment.account(2, -19_800.0, (Kind.BASE, 0, 0.0, 10.0))
    deployment.tables.doubts.set(feed, Quote(wad(1.0), WAD, NOW, wad(2.0), NOW))

    opportunities = found(deployment)

    assert sorted(opportunities) == [1, 2]
    assert [account for account in (1, 2) if opportunities[account].suspect] == doubted


def test_select_keeps_the_rows_asked_for_in_their_order() -> None:
    deployment = Deployment()
    short_call(deployment, 1, 100.0)
    deployment.account(2, 200.0)
    deployment.account(3, 300.0, (Kind.PERPETUAL, 0, 0.0, 2.0), (Kind.BASE, 0, 0.0, 1.0))
    (each,) = margined(deployment)

    book = select(each.book.book, np.array([2, 1]), np.array([1.0, 2.0]))

    assert book.start.tolist() == [0, 2, 2]
    assert book.quantity.tolist() == [2.0, 1.0]
    assert book.cash.tolist() == [301.0, 202.0]
