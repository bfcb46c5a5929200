"""Tables into arrays: canonical order, exactly the chain's refusals, accrual beside the stored."""

from collections.abc import Callable

import numpy as np
import pytest

from keeper.margin.book import Kind
from keeper.protocols.derive.tables import (
    CollateralRow,
    DiffRow,
    ForwardRow,
    RateRow,
    SpotRow,
)
from keeper.venue import VenueBook
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.deployment import LATER, NOW, SOON, WAD, Deployment, wad


CALL, PUT, PERPETUAL, BASE = Kind.CALL, Kind.PUT, Kind.PERPETUAL, Kind.BASE


def books(deployment: Deployment, now: int = NOW) -> list[VenueBook]:
    deployment.venue.accrue(now)
    return list(deployment.venue.books())


def one(deployment: Deployment, now: int = NOW) -> VenueBook:
    (book,) = books(deployment, now)
    return book


def defined(deployment: Deployment, now: int = NOW) -> list[bool]:
    """Return which accounts have a margin, in order of account id."""
    found = {
        int(account): bool(flag)
        for book in books(deployment, now)
        for account, flag in zip(
            book.accounts, book.method.require(book.book, book.market).defined, strict=True
        )
    }
    return [found[account] for account in sorted(found)]


def everyone() -> Deployment:
    """Return cash, an option of each expiry, a perpetual and a collateral: accounts 1 to 5."""
    deployment = Deployment()
    deployment.account(1, 100.0)
    deployment.account(2, 1_000.0, (CALL, SOON, 2_000.0, 1.0))
    deployment.account(3, 1_000.0, (PUT, LATER, 1_800.0, -1.0))
    deployment.account(4, 1_000.0, (PERPETUAL, 0, 0.0, -2.0))
    deployment.account(5, 0.0, (BASE, 0, 0.0, 3.0))
    return deployment


def test_the_listing_is_in_canonical_order_and_accounts_ascend() -> None:
    deployment = Deployment()
    deployment.account(8, 1.0, (PERPETUAL, 0, 0.0, 1.0), (PUT, LATER, 1_800.0, 2.0))
    deployment.account(3, 2.0, (CALL, SOON, 2_100.0, 3.0), (BASE, 0, 0.0, 4.0))
    deployment.account(5, 3.0)

    book = one(deployment)

    assert book.accounts.tolist() == [3, 5, 8]
    assert book.market.listing.kind.tolist() == [CALL, PUT, PERPETUAL, BASE]
    assert book.market.listing.expiry.tolist() == [0, 1, -1, -1]
    assert book.market.listing.strike.tolist() == [2_100.0, 1_800.0, 0.0, 0.0]
    assert book.book.start.tolist() == [0, 2, 2, 4]
    assert book.book.instrument.tolist() == [0, 3, 1, 2]
    assert book.book.quantity.tolist() == [3.0, 4.0, 2.0, 1.0]
    assert book.book.cash.tolist() == [2.0, 3.0, 1.0]


def test_a_fresh_market_carries_the_feeds_and_the_least_confidence_of_an_expiry() -> None:
    market = one(everyone()).market

    assert market.usable.all()
    assert market.spot.tolist() == [2_000.0]
    assert market.perp_price.tolist() == [2_001.0]
    assert market.perp_confidence.tolist() == [0.95]
    assert market.forward_variable.tolist() == [2_005.0, 2_005.0]
    assert market.forward_fixed.tolist() == [0.0, 0.0]
    assert market.seconds.tolist() == [7 * 86_400, 30 * 86_400]
    assert market.expiry_confidence.tolist() == [0.96, 0.96]
    assert market.rate.tolist() == [0.04, 0.04]
    assert market.price.tolist()[-1] == 2_000.0
    assert market.confidence.tolist()[-1] == 0.9


def test_a_negative_rate_counts_as_none() -> None:
    deployment = everyone()
    deployment.tables.rates.set((on.RATE_FEED, SOON), RateRow(wad(-0.04), WAD, NOW))

    assert one(deployment).market.rate.tolist() == [0.0, 0.04]


def test_the_perpetual_is_kept_inside_its_cap() -> None:
    deployment = everyone()
    deployment.tables.diffs.set(on.PERP_FEED, DiffRow(wad(-500.0), WAD, NOW))

    assert one(deployment).market.perp_price.tolist() == [1_880.0]


ALL, NOBODY = [True] * 5, [False] * 5
Change = Callable[[Deployment], None]


def _age(table: str, key: object, field: str = "timestamp") -> Change:
    def change(deployment: Deployment) -> None:
        rows = getattr(deployment.tables, table)
        rows.set(key, rows[key]._replace(**{field: NOW - 90_000}))

    return change


def _drop(table: str, key: object) -> Change:
    return lambda deployment: getattr(deployment.tables, table).delete(key)


def _set(table: str, key: object, row: object) -> Change:
    return lambda deployment: getattr(deployment.tables, table).set(key, row)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: None, ALL),
        (_age("spots", on.SPOT_FEED), NOBODY),
        (_age("spots", on.STABLE_FEED), NOBODY),
        (_drop("spots", on.STABLE_FEED), NOBODY),
        (_drop("feeds", on.SPOT_FEED), NOBODY),
        (_age("diffs", on.PERP_FEED), [True, True, True, False, True]),
        (_age("diffs", on.ASK_FEED), [True, True, True, False, True]),
        (_drop("diffs", on.BID_FEED), [True, True, True, False, True]),
        (
            _set("diffs", on.BID_FEED, DiffRow(wad(9.0), WAD, NOW)),
            [True, True, True, False, True],
        ),
        (_age("spots", on.COIN_FEED), [True, True, True, True, False]),
        (_drop("collateral_feeds", (on.MANAGER, on.COIN)), [True, True, True, True, False]),
        (_drop("collaterals", (on.LIB, on.COIN)), [True, True, True, True, False]),
        (
            _set("collaterals", (on.LIB, on.COIN), CollateralRow(False, True, 0, 0)),
            [True, True, True, True, False],
        ),
        (_age("forwards", (on.FORWARD_FEED, SOON)), [True, False, True, True, True]),
        (_drop("forwards", (on.FORWARD_FEED, LATER)), [True, True, False, True, True]),
        (_age("vols", (on.VOL_FEED, LATER)), [True, True, False, True, True]),
        (_drop("vols", (on.VOL_FEED, SOON)), [True, False, True, True, True]),
        (_age("rates", (on.RATE_FEED, SOON)), [True, False, True, True, True]),
        (_drop("margin", on.LIB), NOBODY),
        (_drop("scenarios", (on.MANAGER, 0)), NOBODY),
        (_set("unread", on.MANAGER, 1), NOBODY),
        (_set("overrides", 3, on.OTHER_LIB), [True, True, False, True, True]),
    ],
)
def test_an_account_is_undefined_exactly_where_the_chain_reads_what_it_cannot(
    change: Change, expected: list[bool]
) -> None:
    deployment = everyone()
    change(deployment)

    assert defined(deployment) == expected


@pytest.mark.parametrize(("age", "fresh"), [(180, True), (181, False)])
def test_a_spot_may_be_read_until_the_second_its_heartbeat_ends(age: int, fresh: bool) -> None:
    deployment = everyone()
    deployment.tables.spots.set(on.SPOT_FEED, SpotRow(wad(2_000.0), WAD, NOW - age))

    assert defined(deployment)[0] is fresh


def test_a_disabled_perpetual_needs_no_feed() -> None:
    deployment = everyone()
    row = deployment.tables.perps[on.PERP]
    deployment.tables.perps.set(
        on.PERP, row._replace(disabled=True, frozen_price=wad(1_990.0), aggregated=wad(2.0))
    )
    deployment.tables.diffs.delete(on.PERP_FEED)

    book = one(deployment)

    assert defined(deployment) == ALL
    assert book.market.perp_price.tolist() == [1_990.0]


def settling(deployment: Deployment, data_at: int, now: int) -> None:
    """Post all quotes at `now` and a forward of the window's `data_at`, 1500 USD a second."""
    deployment.quotes(now)
    covered = data_at - (SOON - 1_800)
    forward = ForwardRow(wad(5.0), wad(0.98), data_at, wad(100.0), wad(100.0 + 1_500.0 * covered))
    deployment.tables.forwards.set((on.FORWARD_FEED, SOON), forward)


def test_in_the_settlement_window_the_data_s_own_time_fixes_the_share() -> None:
    deployment, now = everyone(), SOON - 900
    settling(deployment, data_at=now - 100, now=now)

    market = one(deployment, now).market

    assert market.forward_fixed[0] == pytest.approx(1_500.0 * 800 / 1_800)
    assert market.forward_variable[0] == pytest.approx(2_005.0 * 1_000 / 1_800)


@pytest.mark.parametrize(("late", "readable"), [(180, True), (181, False)])
def test_in_the_settlement_window_a_forward_must_be_younger(late: int, readable: bool) -> None:
    deployment, now = everyone(), SOON - 900
    settling(deployment, data_at=now - late, now=now)

    assert defined(deployment, now) == [True, readable, True, True, True]


@pytest.mark.parametrize(("after", "readable"), [(0, True), (1_200, True), (1_201, False)])
def test_an_expired_option_can_be_valued_until_its_last_smile_is_too_old(
    after: int, readable: bool
) -> None:
    deployment, now = everyone(), SOON + after
    settling(deployment, data_at=SOON, now=now)
    vol = deployment.tables.vols[(on.VOL_FEED, SOON)]
    deployment.tables.vols.set((on.VOL_FEED, SOON), vol._replace(timestamp=SOON))

    assert one(deployment, now).market.seconds.tolist()[0] == 0.0
    assert defined(deployment, now) == [True, readable, True, True, True]


def test_a_strike_of_zero_overflows_under_a_skew_scenario_only() -> None:
    deployment = Deployment()
    deployment.account(1, 1.0, (CALL, SOON, 0.0, 1.0))
    assert defined(deployment) == [True]

    deployment.tables.scenarios.set(
        (on.MANAGER, 3), deployment.tables.scenarios[(on.MANAGER, 1)]._replace(vol=3)
    )

    assert defined(deployment) == [False]


def test_a_smile_without_sense_leaves_its_holders_undefined() -> None:
    deployment = everyone()
    row = deployment.tables.vols[(on.VOL_FEED, SOON)]
    for broken in ({"a": -WAD}, {"tau": 0}, {"forward": 0}):
        deployment.tables.vols.set((on.VOL_FEED, SOON), row._replace(**broken))

        assert defined(deployment) == [True, False, True, True, True], broken


def test_more_expiries_than_the_manager_takes_make_its_view_revert() -> None:
    deployment = everyone()
    deployment.account(6, 1.0, (CALL, SOON, 2_000.0, 1.0), (CALL, LATER, 2_000.0, 1.0))
    row = deployment.tables.managers[on.MANAGER]
    assert defined(deployment) == [*ALL, True]

    deployment.tables.managers.set(on.MANAGER, row._replace(expiries_max=1))

    assert defined(deployment) == [*ALL, False]


def test_an_account_with_its_own_lib_is_margined_by_that() -> None:
    deployment = everyone()
    deployment.lib(on.OTHER_LIB)
    factors = deployment.tables.margin[on.OTHER_LIB]
    deployment.tables.margin.set(on.OTHER_LIB, factors._replace(mm_factor=2 * WAD))
    before = one(deployment)
    plain = before.method.require(before.book, before.market)
    deployment.tables.overrides.set(3, on.OTHER_LIB)

    own = {int(book.accounts[0]): book for book in books(deployment)}

    assert sorted(own) == [1, 3]
    assert own[1].accounts.tolist() == [1, 2, 4, 5]
    result = own[3].method.require(own[3].book, own[3].market)
    assert result.defined.all()
    assert result.mm[0] > 2.0 * plain.mm[2]


def test_interest_is_beside_the_stored_cash_and_negative_for_a_borrower() -> None:
    deployment = Deployment()
    deployment.account(1, 1_000.0)
    deployment.account(2, -1_000.0, (BASE, 0, 0.0, 3.0))
    late = NOW + 30 * 86_400
    deployment.quotes(late)

    book = one(deployment, late)

    # Half is lent: 2 % + 0.5 * 8 % a year, for 30 days; lenders share 80 % of it at half use.
    assert book.book.cash.tolist() == [1_000.0, -1_000.0]
    assert book.accrued[1] == pytest.approx(-1_000.0 * np.expm1(0.06 * 30 / 365), rel=1e-9)
    assert book.accrued[0] == pytest.approx(-book.accrued[1] * 0.5 * 0.8, rel=1e-9)


def test_unsettled_profit_and_funding_are_carried_by_holders_only() -> None:
    deployment = everyone()
    row = deployment.tables.row(4)
    deployment.tables.perp_mark.set(row, wad(2_011.0))
    deployment.tables.perp_pnl.set(row, wad(7.0))
    deployment.tables.perp_funding.set(row, wad(-1.0))
    deployment.tables.perp_pnl.set(deployment.tables.row(1), wad(5.0))
    perp = deployment.tables.perps[on.PERP]
    deployment.tables.perps.set(on.PERP, perp._replace(aggregated=wad(3.0)))

    book = one(deployment)

    # Short 2: 10 USD each on price, 3 USD each of funding to receive, 6 settled.
    assert book.book.carried.tolist() == pytest.approx([0.0, 0.0, 0.0, 32.0, 0.0])


def test_live_auctions_and_settleable_options_ask_for_attention() -> None:
    deployment = everyone()
    deployment.auction(4)
    assert one(deployment).attention.tolist() == [False, False, False, True, False]

    deployment.tables.settled.set((on.FORWARD_FEED, SOON), wad(1_500.0))
    now = SOON + 5_000

    assert one(deployment, now).attention.tolist() == [False, True, False, True, False]


def test_a_new_holding_is_seen_and_a_rewound_one_is_forgotten() -> None:
    deployment = everyone()
    portfolio = deployment.portfolio
    before = one(deployment)
    portfolio.undo.begin(2, "0x" + "22" * 32)
    deployment.account(6, 10.0, (CALL, LATER, 2_500.0, -1.0))

    grown = one(deployment)
    portfolio.undo.rewind(1, "0x" + "11" * 32)
    again = one(deployment)

    assert len(grown.market.listing.kind) == len(before.market.listing.kind) + 1
    assert grown.accounts.tolist() == [1, 2, 3, 4, 5, 6]
    assert again.accounts.tolist() == before.accounts.tolist()
    assert again.market.listing.strike.tolist() == before.market.listing.strike.tolist()


def test_quantities_move_without_a_new_listing() -> None:
    deployment = everyone()
    before = one(deployment)
    instrument = deployment.tables.instrument(on.MANAGER, on.PERP, 0)
    deployment.portfolio.positions.set(deployment.tables.row(4), instrument, wad(5.0))

    after = one(deployment)

    assert after.market.listing is before.market.listing
    assert after.book.quantity.tolist() == [1.0, -1.0, 5.0, 3.0]


def test_no_account_at_all_is_no_book() -> None:
    assert books(Deployment()) == []
