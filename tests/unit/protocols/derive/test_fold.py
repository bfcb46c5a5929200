"""What each event writes, and what it must not: strangers' events, traps, the order in a trade."""

from typing import Any

import pytest

from keeper.margin.book import Kind
from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.logs.authority import AuthorityChanged
from keeper.protocols.derive.logs.fold import WRITERS, watch_addresses
from keeper.protocols.derive.tables import AuctionRow, ForwardRow, PerpRow, VolRow
from keeper.protocols.derive.wiring import NOWHERE
from tests.unit.protocols.derive.deployment import (
    ALICE,
    AUCTION,
    CASH,
    COIN,
    FORWARD_FEED,
    KEEPER,
    MANAGER,
    NOW,
    OPTION,
    PERP,
    RATE_FEED,
    SOON,
    SPOT_FEED,
    SUB_ACCOUNTS,
    VOL_FEED,
    WAD,
    at,
    option_id,
)
from tests.unit.protocols.derive.scene import LATER_S, OTHER_MANAGER, STRANGER, Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


# ── accounts ──


def test_an_account_has_its_manager_and_its_last_owner(scene: Scene) -> None:
    scene.fold(
        ev.OwnerChanged(SUB_ACCOUNTS, 7, ALICE),
        ev.AccountCreated(SUB_ACCOUNTS, ALICE, 7, MANAGER),
        ev.OwnerChanged(SUB_ACCOUNTS, 7, KEEPER),
        ev.OwnerChanged(STRANGER, 7, STRANGER),
    )
    assert scene.tables.accounts[7] == MANAGER
    assert scene.tables.owners[7] == KEEPER
    assert scene.tables.members(MANAGER) == (7,)


def test_accounts_of_an_unknown_manager_are_counted_and_told_once(scene: Scene) -> None:
    told = scene.fold(
        *(ev.AccountCreated(SUB_ACCOUNTS, ALICE, each, OTHER_MANAGER) for each in (7, 8)),
        ev.AccountCreated(STRANGER, ALICE, 9, OTHER_MANAGER),
    )
    assert told == [("manager_unsupported", {"venue": "derive", "manager": OTHER_MANAGER})]
    assert scene.tables.unsupported[OTHER_MANAGER] == 2
    assert scene.tables.manager_of(7) is None


@pytest.mark.parametrize(
    ("asset", "sub_id", "kind", "rank", "expiry", "strike"),
    [
        (OPTION, option_id(SOON, 2_500.5, True), Kind.CALL, 0, SOON, 2_500.5),
        (OPTION, option_id(SOON, 0.0, False), Kind.PUT, 0, SOON, 0.0),
        (OPTION, 2**96 - 1, Kind.CALL, 0, 2**32 - 1, (2**63 - 1) / 1e8),
        (PERP, 0, Kind.PERPETUAL, 1, 0, 0.0),
        (COIN, 0, Kind.BASE, 2, 0, 0.0),
    ],
)
def test_a_balance_is_a_position_in_what_the_sub_id_says(
    scene: Scene, asset: str, sub_id: int, kind: Kind, rank: int, expiry: int, strike: float
) -> None:
    scene.open(7)
    scene.fold(scene.balance(7, asset, -3 * WAD, sub_id))
    ((instrument, quantity),) = scene.held(7)
    assert quantity == -3 * WAD
    assert (instrument.kind, instrument.kind_rank, instrument.expiry) == (kind, rank, expiry)
    assert instrument.strike_wad == pytest.approx(strike * WAD, rel=1e-15)
    assert (instrument.underlying, instrument.address, instrument.sub_id) == ("ETH", asset, sub_id)
    scene.fold(scene.balance(7, asset, 0, sub_id))
    assert scene.held(7) == []


def test_balances_of_strangers_and_of_unserved_accounts_are_no_positions(scene: Scene) -> None:
    scene.open(7)
    scene.fold(
        scene.balance(7, PERP, WAD, source=STRANGER),
        ev.AccountCreated(SUB_ACCOUNTS, ALICE, 8, OTHER_MANAGER),
        scene.balance(8, PERP, WAD, manager=OTHER_MANAGER),
    )
    assert scene.held(7) == scene.held(8) == []


# ── cash ──


def test_an_account_leaves_the_totals_with_interest_and_comes_back_with_its_balance(
    scene: Scene,
) -> None:
    before = scene.tables.cash_state[CASH]
    scene.open(7, 100.0)
    scene.fold(
        ev.AccountInterestAccrued(CASH, 7, 100 * WAD, 5 * WAD, 3 * WAD),
        scene.balance(7, CASH, -20 * WAD),
    )
    after = scene.tables.cash_state[CASH]
    assert after.supply == before.supply - 105 * WAD
    assert after.borrow == before.borrow + 20 * WAD
    assert after.accrued_at == LATER_S
    row = scene.tables.row(7)
    assert scene.tables.cash.get(row) == -20 * WAD
    assert scene.tables.cash_index.get(row) == 3 * WAD


def test_a_borrower_that_pays_back_moves_both_totals(scene: Scene) -> None:
    before = scene.tables.cash_state[CASH]
    scene.fold(
        ev.AccountInterestAccrued(CASH, 7, -100 * WAD, -5 * WAD, 3 * WAD),
        scene.balance(7, CASH, 40 * WAD),
    )
    after = scene.tables.cash_state[CASH]
    assert after.supply == before.supply + 40 * WAD
    assert after.borrow == before.borrow - 105 * WAD


def test_totals_stop_at_zero_where_truncation_would_take_them_below(scene: Scene) -> None:
    state = scene.tables.cash_state
    state.set(CASH, state[CASH]._replace(borrow=10, supply=10))
    scene.fold(ev.AccountInterestAccrued(CASH, 7, -11, 0, WAD), scene.balance(7, CASH, 5))
    assert (state[CASH].borrow, state[CASH].supply) == (0, 15)


def test_nothing_borrowed_means_no_time_of_accrual(scene: Scene) -> None:
    state = scene.tables.cash_state
    state.set(CASH, state[CASH]._replace(borrow=10))
    scene.fold(ev.AccountInterestAccrued(CASH, 7, -10, 0, WAD), scene.balance(7, CASH, 0))
    assert state[CASH].accrued_at == 0


def test_interest_moves_totals_and_indexes(scene: Scene) -> None:
    scene.fold(ev.InterestAccrued(CASH, 1, 2, 3, 4), ev.InterestAccrued(STRANGER, 9, 9, 9, 9))
    row = scene.tables.cash_state[CASH]
    assert (row.borrow_index, row.supply_index, row.supply, row.borrow) == (1, 2, 3, 4)
    assert row.accrued_at == LATER_S


def test_the_withdraw_fee_remembers_the_fee_before_once(scene: Scene) -> None:
    state = scene.tables.cash_state
    fee = state[CASH].fee
    scene.fold(ev.WithdrawFeeDisabled(CASH, 2 * WAD))
    assert (state[CASH].fee, state[CASH].fee_forced) == (fee, False)
    scene.fold(ev.WithdrawFeeEnabled(CASH, WAD // 2), ev.WithdrawFeeEnabled(CASH, WAD // 3))
    assert (state[CASH].fee, state[CASH].fee_before, state[CASH].fee_forced) == (WAD, fee, True)
    scene.fold(ev.WithdrawFeeDisabled(CASH, WAD - 1))
    assert (state[CASH].fee, state[CASH].fee_forced) == (WAD, True)
    scene.fold(ev.WithdrawFeeDisabled(CASH, WAD))
    assert (state[CASH].fee, state[CASH].fee_forced) == (fee, False)


def test_fee_and_printed_cash_are_written(scene: Scene) -> None:
    scene.fold(ev.FeeSet(CASH, 5), ev.CashPrinted(CASH, -7), ev.FeeSet(STRANGER, 6))
    row = scene.tables.cash_state[CASH]
    assert (row.fee, row.printed) == (5, -7)


# ── perpetuals ──


def test_a_trade_applied_in_log_order_is_exact(scene: Scene) -> None:
    row = scene.open(7, 0.0, (Kind.PERPETUAL, 0, 0.0, 1.0))
    scene.fold(
        ev.PositionSettled(PERP, 7, 11, 2_000 * WAD),
        ev.FundingAggregated(PERP, 33, LATER_S),
        ev.FundingApplied(PERP, 7, -4, 33),
        ev.FundingApplied(PERP, 7, -1, 33),
        scene.balance(7, PERP, 2 * WAD),
    )
    tables = scene.tables
    assert tables.perp_pnl.get(row) == 11
    assert tables.perp_mark.get(row) == 2_000 * WAD
    assert tables.perp_funding.get(row) == -5
    assert tables.perp_aggregated.get(row) == 33
    assert (tables.perps[PERP].aggregated, tables.perps[PERP].paid_at) == (33, LATER_S)
    scene.fold(ev.PositionCleared(PERP, 7))
    assert (tables.perp_pnl.get(row), tables.perp_funding.get(row)) == (0, 0)
    assert tables.perp_mark.get(row) == 2_000 * WAD


def test_a_stranger_cannot_move_an_account_through_another_perpetual(scene: Scene) -> None:
    row = scene.open(7, 0.0, (Kind.PERPETUAL, 0, 0.0, 1.0))
    other = at(992)
    scene.tables.perps.set(other, scene.tables.perps[PERP])
    scene.fold(
        ev.PositionSettled(other, 7, 11, 90_000 * WAD),
        ev.FundingApplied(other, 7, -4, 33),
        ev.PositionSettled(PERP, 999, 11, 90_000 * WAD),
    )
    assert scene.tables.perp_mark.get(row) == scene.tables.perp_pnl.get(row) == 0
    assert scene.tables.perp_aggregated.get(row) == 0


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        (ev.RateBoundsSet(PERP, 5), {"rate_max": 5, "rate_min": -5}),
        (ev.StaticRateSet(PERP, -3), {"rate_static": -3}),
        (ev.ConvergenceSet(PERP, 4), {"convergence": 4}),
        (ev.PerpDisabled(PERP, 6, 7), {"disabled": True, "frozen_price": 6, "aggregated": 7}),
    ],
)
def test_a_perpetuals_rules_are_written(scene: Scene, event: Any, changes: dict[str, int]) -> None:
    before: PerpRow = scene.tables.perps[PERP]
    scene.fold(event, event._replace(source=STRANGER))
    assert scene.tables.perps[PERP] == before._replace(**changes)
    assert STRANGER not in scene.tables.perps


# ── feeds ──


def test_quotes_are_written_for_feeds_of_their_kind_only(scene: Scene) -> None:
    tables = scene.tables
    smile = VolRow(1, 2, 3, 4, 5, 6, 7, 8, 9)
    scene.fold(
        ev.SpotPosted(SPOT_FEED, 5, 6, 7),
        ev.SpotPosted(STRANGER, 5, 6, 7),
        ev.SpotPosted(VOL_FEED, 5, 6, 7),
        ev.SpotPosted(SPOT_FEED, 9, 9, 0),
        ev.DiffPosted(SPOT_FEED, 5, 6, 7),
        ev.VolPosted(VOL_FEED, SOON, smile),
        ev.VolPosted(SPOT_FEED, SOON, smile),
        ev.RatePosted(RATE_FEED, SOON, -1, 2, 3),
        ev.RatePosted(RATE_FEED, 0, 9, 9, 0),
    )
    assert tables.spots[SPOT_FEED] == (5, 6, 7)
    assert STRANGER not in tables.spots
    assert VOL_FEED not in tables.spots
    assert SPOT_FEED not in tables.diffs
    assert tables.vols[VOL_FEED, SOON] == smile
    assert (SPOT_FEED, SOON) not in tables.vols
    assert tables.rates[RATE_FEED, SOON] == (-1, 2, 3)
    assert (RATE_FEED, 0) not in tables.rates


def test_a_forward_outside_the_window_keeps_the_old_aggregates(scene: Scene) -> None:
    key = (FORWARD_FEED, SOON)
    scene.fold(
        ev.ForwardPosted(FORWARD_FEED, SOON, ForwardRow(1, 2, SOON - 100, 10, 20)),
        ev.ForwardPosted(FORWARD_FEED, SOON, ForwardRow(3, 4, SOON - 50, 0, 0)),
    )
    assert scene.tables.forwards[key] == (3, 4, SOON - 50, 10, 20)
    assert key not in scene.tables.settled


def test_a_forward_at_its_expiry_is_the_settlement_price(scene: Scene) -> None:
    row = ForwardRow(1, 2, SOON, WAD, WAD + 1_800 * 3_000 * WAD + 1_799)
    scene.fold(ev.ForwardPosted(FORWARD_FEED, SOON, row))
    assert scene.tables.settled[FORWARD_FEED, SOON] == 3_000 * WAD


def test_a_jump_is_doubted_until_it_stands_or_goes_back(scene: Scene) -> None:
    quotes = scene.tables.doubts
    scene.fold(ev.SpotPosted(SPOT_FEED, 2_000 * WAD, WAD, NOW))
    scene.fold(ev.SpotPosted(SPOT_FEED, 4_000 * WAD, WAD, NOW + 10))
    assert (quotes[SPOT_FEED].reference, quotes[SPOT_FEED].jumped_at) == (2_000 * WAD, NOW + 10)
    scene.fold(ev.SpotPosted(SPOT_FEED, 2_100 * WAD, WAD, NOW + 20))
    assert (quotes[SPOT_FEED].reference, quotes[SPOT_FEED].jumped_at) == (2_100 * WAD, 0)


# ── auctions ──


def test_an_auction_lives_from_start_to_end(scene: Scene) -> None:
    auctions = scene.tables.auctions
    scene.fold(ev.SolventAuctionStarted(AUCTION, 7, 3), ev.ScenarioUpdated(AUCTION, 7, 5))
    assert auctions[7] == AuctionRow(5, False, LATER_S, 0, 0)
    scene.fold(ev.BidWon(AUCTION, 7, 100), ev.BidWon(AUCTION, 7, 11), ev.BidWon(STRANGER, 7, 1))
    assert auctions[7].reserved == 111
    scene.fold(ev.AuctionEnded(STRANGER, 7))
    assert 7 in auctions
    scene.fold(ev.AuctionEnded(AUCTION, 7))
    assert 7 not in auctions


def test_the_bid_that_ends_an_auction_comes_after_its_end(scene: Scene) -> None:
    scene.fold(
        ev.SolventAuctionStarted(AUCTION, 7, 3),
        ev.AuctionEnded(AUCTION, 7),
        ev.BidWon(AUCTION, 7, 100),
        ev.ScenarioUpdated(AUCTION, 7, 1),
    )
    assert 7 not in scene.tables.auctions


def test_a_conversion_has_no_end_and_begins_anew(scene: Scene) -> None:
    scene.fold(
        ev.SolventAuctionStarted(AUCTION, 7, 3),
        ev.BidWon(AUCTION, 7, 100),
        ev.InsolventAuctionStarted(AUCTION, 7, 3, -55),
    )
    assert scene.tables.auctions[7] == AuctionRow(3, True, LATER_S, 55, 0)


def test_auctions_of_a_stranger_are_none(scene: Scene) -> None:
    scene.fold(
        ev.SolventAuctionStarted(STRANGER, 7, 3), ev.InsolventAuctionStarted(STRANGER, 8, 3, -5)
    )
    assert len(scene.tables.auctions) == 0


def test_every_event_has_a_writer() -> None:
    kinds = {
        each
        for each in vars(ev).values()
        if isinstance(each, type) and "source" in getattr(each, "_fields", ())
    }
    assert set(WRITERS) == {*kinds, AuthorityChanged}


def test_what_is_watched_is_ours_once_and_nowhere_is_not(scene: Scene) -> None:
    watched = watch_addresses(scene.tables)
    assert list(watched) == sorted(set(watched))
    assert NOWHERE not in watched
    for each in (SUB_ACCOUNTS, CASH, AUCTION, MANAGER, PERP, SPOT_FEED, FORWARD_FEED, VOL_FEED):
        assert each in watched
