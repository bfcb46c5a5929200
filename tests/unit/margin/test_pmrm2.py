"""PMRM_2's rules one by one: what is undefined, which index is worst, what is refused."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from keeper.margin.book import Book, Kind, Market, Result
from keeper.margin.methods.pmrm2 import Pmrm2, Pmrm2Parameters, Scenario, VolShock
from tests.reference import pmrm2_arrays as arrays
from tests.reference import pmrm2_scalar as scalar


DAY = 86_400.0
WEEK, MONTH = 7 * DAY, 30 * DAY
RULES = scalar.Rules(
    scenarios=(
        scalar.Shock(1.15, "Up", 1.0),
        scalar.Shock(1.0, "None", 1.0),
        scalar.Shock(0.85, "Up", 1.0),
        scalar.Shock(1.0, "Linear", 1.0),
        scalar.Shock(1.0, "Abs", 1.0),
    ),
    basis_up=1.045,
    basis_down=0.955,
    basis_add=0.5,
    basis_mult=2.0,
    im_factor=1.0,
    mm_factor=0.8,
    short_base=1.04,
    long_base=0.95,
    short_rate_mult=0.5,
    long_rate_mult=1.0,
    short_rate_add=0.08,
    long_rate_add=0.08,
    peg_threshold=0.98,
    peg_factor=2.0,
    conf_threshold=0.55,
    conf_margin=1.0,
    mm_perp=0.015,
    im_perp=0.005,
    mm_option=0.003,
    im_option=0.002,
    vol_range_up=0.5,
    vol_range_down=0.275,
    short_term_power=0.3,
    long_term_power=0.13,
    dte_floor_seconds=DAY,
    min_vol_up=0.45,
    linear_base_cap=0.15,
    abs_base_cap=0.15,
    linear_c_base=-0.05,
    abs_c_base=-0.05,
    min_k_star=0.01,
    width_scale=4.0,
    vol_param_static=0.6,
    vol_param_scale=-0.1,
)
QUOTES = scalar.Quotes(
    spot=2000.0,
    spot_confidence=1.0,
    perp_price=2001.0,
    perp_confidence=1.0,
    stable=1.0,
    expiries={e: scalar.ExpiryQuote(e, 0.0, 2005.0, 0.05, 1.0) for e in (WEEK, MONTH)},
)
OPTIONS = [
    scalar.Option(expiry, strike, call, 0.0, 0.6)
    for expiry in (WEEK, MONTH)
    for strike in (1800.0, 2200.0)
    for call in (True, False)
]
ASSETS = [
    scalar.Asset(0.0, 2000.0, 1.0, True, 0.015, 0.005),
    scalar.Asset(0.0, 1.0, 1.0, False, 0.02, 0.03),
]
WEEK_CALL_HIGH, MONTH_CALL_LOW, PERP, ETH, DOLLAR = 2, 4, 8, 9, 10
PARAMETERS = arrays.parameters(RULES, ASSETS)
MARKET = arrays.market(QUOTES, OPTIONS, ASSETS)
METHOD = Pmrm2(PARAMETERS)


def one(rows: Mapping[int, float], cash: float = 0.0, carried: float = 0.0) -> Book:
    return arrays.book([dict(rows)], [cash], [carried])


def two(rows: Mapping[int, float]) -> Book:
    """Return an account with these rows and one with cash alone."""
    return arrays.book([dict(rows), {}], [100.0, 100.0], [0.0, 0.0])


def assert_first_alone_is_undefined(result: Result) -> None:
    assert result.defined.tolist() == [False, True]
    for name in ("equity", "mm", "im", "worst", "gross"):
        assert getattr(result, name)[0] == 0
    assert result.equity[1] == result.gross[1] == 100.0


def test_cash_alone_needs_nothing_and_its_worst_is_the_indexless_one() -> None:
    result = METHOD.require(one({}, cash=-50.0), MARKET)
    assert (result.equity[0], result.mm[0], result.im[0]) == (-50.0, 0.0, 0.0)
    assert result.worst[0] == METHOD.scenarios
    assert result.gross[0] == 50.0


def test_first_of_equal_scenarios_is_the_worst() -> None:
    shock = PARAMETERS.scenarios[0]
    twice = replace(PARAMETERS, scenarios=(Scenario(1.0, VolShock.NONE, 1.0), shock, shock))
    assert Pmrm2(twice).require(one({PERP: -1.0}), MARKET).worst[0] == 1


def test_basis_contingency_is_worst_where_the_forwards_part() -> None:
    # Long one expiry's forward, short the other's: spot moves cancel, the basis does not.
    rows = {0: 5.0, 1: -5.0, MONTH_CALL_LOW: -5.0, MONTH_CALL_LOW + 1: 5.0}
    calm = replace(PARAMETERS, scenarios=PARAMETERS.scenarios[1:2])
    method = Pmrm2(replace(calm, margin=replace(calm.margin, long_base_discount=1.0)))
    book = one(rows)
    result, ladder = method.require(book, MARKET), method.ladder(book, MARKET)
    assert result.worst[0] == method.scenarios == 1
    assert ladder[0, 1] < ladder[0, 0]
    assert result.excess[0] == method.under_scenario(book, MARKET, np.array([0]))[0]


def test_flat_scenario_costs_the_discount() -> None:
    assert METHOD.ladder(one({WEEK_CALL_HIGH: 1.0}), MARKET)[0, 1] < 0.0


def test_perpetual_profit_counts_with_a_perpetual_only() -> None:
    assert METHOD.require(one({}, carried=70.0), MARKET).equity[0] == 0.0
    assert METHOD.require(one({PERP: 0.0}, carried=70.0), MARKET).equity[0] == 0.0
    assert METHOD.require(one({PERP: 1.0}, carried=70.0), MARKET).equity[0] == 70.0


def test_depeg_raises_initial_margin_alone() -> None:
    book = one({PERP: 2.0})
    whole = METHOD.require(book, MARKET)
    depegged = METHOD.require(book, replace(MARKET, stable=0.93))
    assert depegged.mm[0] == whole.mm[0]
    loss = -METHOD.ladder(book, MARKET).min()
    assert depegged.im[0] - whole.im[0] == pytest.approx(loss * (0.98 - 0.93) * 2.0)


def test_unusable_instrument_leaves_its_holders_undefined() -> None:
    usable = MARKET.usable.copy()
    usable[WEEK_CALL_HIGH] = False
    assert_first_alone_is_undefined(
        METHOD.require(two({WEEK_CALL_HIGH: 1.0}), replace(MARKET, usable=usable))
    )
    held_not = METHOD.require(two({WEEK_CALL_HIGH: 0.0, PERP: 1.0}), replace(MARKET, usable=usable))
    assert held_not.defined.all()


def test_undefined_accounts_have_empty_ladder_greeks_and_excess() -> None:
    usable = np.zeros(len(MARKET.usable), np.bool_)
    market, book = replace(MARKET, usable=usable), two({PERP: 1.0, ETH: 1.0})
    assert not METHOD.ladder(book, market)[0].any()
    assert not METHOD.greeks(book, market)[0].any()
    assert METHOD.under_scenario(book, market, np.zeros(2, np.int64)).tolist() == [0.0, 100.0]


@pytest.mark.parametrize("strike", [0.0, 1e-16])
def test_strike_below_one_wei_of_forward_is_undefined_under_a_skew_scenario(strike: float) -> None:
    listed = MARKET.listing.strike.copy()
    listed[0] = strike
    market = replace(MARKET, listing=replace(MARKET.listing, strike=listed))
    assert_first_alone_is_undefined(METHOD.require(two({0: 1.0}), market))
    plain = Pmrm2(replace(PARAMETERS, scenarios=PARAMETERS.scenarios[:3]))
    assert plain.require(two({0: 1.0}), market).defined.all()


@pytest.mark.parametrize("kind", [Kind.FUTURE, Kind.LP])
def test_kinds_the_manager_does_not_know_are_undefined(kind: Kind) -> None:
    kinds = MARKET.listing.kind.copy()
    kinds[PERP] = kind
    market = replace(MARKET, listing=replace(MARKET.listing, kind=kinds))
    assert_first_alone_is_undefined(METHOD.require(two({PERP: 1.0}), market))


@pytest.mark.parametrize("row", [0, PERP])
def test_other_underlyings_are_undefined(row: int) -> None:
    underlying = MARKET.listing.underlying.copy()
    underlying[row] = 1
    market = replace(MARKET, listing=replace(MARKET.listing, underlying=underlying))
    assert_first_alone_is_undefined(METHOD.require(two({row: 1.0}), market))


def test_manager_reads_its_own_underlying() -> None:
    def doubled(values: np.ndarray) -> np.ndarray:
        return np.concatenate([[np.nan], values])

    names = ("spot", "spot_confidence", "perp_price", "perp_confidence")
    market = replace(
        MARKET,
        listing=replace(MARKET.listing, underlying=MARKET.listing.underlying + np.int32(1)),
        **{name: doubled(getattr(MARKET, name)) for name in names},
    )
    book = one({0: -1.0, PERP: 1.0, ETH: 2.0})
    moved = Pmrm2(replace(PARAMETERS, underlying=1)).require(book, market)
    assert moved.mm[0] == METHOD.require(book, MARKET).mm[0] > 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
@pytest.mark.parametrize("name", ["spot", "stable"])
def test_no_spot_or_stable_leaves_everybody_undefined(name: str, value: float) -> None:
    bad = replace(MARKET, **{name: value if name == "stable" else np.array([value])})
    assert not METHOD.require(two({PERP: 1.0}), bad).defined.any()


def test_perpetual_without_a_price_hurts_its_holders_alone() -> None:
    market = replace(MARKET, perp_price=np.array([np.nan]), perp_confidence=np.array([np.nan]))
    assert_first_alone_is_undefined(METHOD.require(two({PERP: 1.0}), market))


def test_option_without_an_expiry_hurts_its_holders_alone() -> None:
    expiry = MARKET.listing.expiry.copy()
    expiry[0] = -1
    market = replace(MARKET, listing=replace(MARKET.listing, expiry=expiry))
    assert_first_alone_is_undefined(METHOD.require(two({0: 1.0}), market))


def test_no_accounts_have_an_empty_result() -> None:
    book = arrays.book([], [], [])
    assert METHOD.require(book, MARKET).equity.shape == (0,)
    assert METHOD.ladder(book, MARKET).shape == (0, METHOD.scenarios + 1)
    assert METHOD.greeks(book, MARKET).shape == (0, 4)


def test_parameters_that_do_not_fit_are_refused_by_name() -> None:
    short = Pmrm2(replace(PARAMETERS, collateral=PARAMETERS.collateral[:1]))
    with pytest.raises(ValueError, match="collateral: 1 given for 2"):
        short.require(one({}), MARKET)
    with pytest.raises(ValueError, match="scenarios: none"):
        Pmrm2(replace(PARAMETERS, scenarios=()))
    for index in (-1, METHOD.scenarios):
        with pytest.raises(ValueError, match="scenario: outside"):
            METHOD.under_scenario(one({}), MARKET, np.array([index]))


def moved(market: Market, spot: float) -> Market:
    """Return the market with spot and all that moves with it multiplied."""
    price = np.where(np.arange(len(market.price)) == ETH, market.price * spot, market.price)
    return replace(
        market,
        spot=market.spot * spot,
        forward_variable=market.forward_variable * spot,
        perp_price=market.perp_price * spot,
        price=price,
    )


def test_greeks_are_the_slopes_of_equity() -> None:
    book = one({0: -2.0, WEEK_CALL_HIGH: 3.0, MONTH_CALL_LOW: 1.0, ETH: 4.0, DOLLAR: 100.0})
    delta, gamma, vega, theta = METHOD.greeks(book, MARKET)[0]

    def equity(market: Market) -> float:
        return float(METHOD.require(book, market).equity[0])

    step, spot = 1e-3, QUOTES.spot
    up, flat, down = (equity(moved(MARKET, 1.0 + s)) for s in (step, 0.0, -step))
    assert delta == pytest.approx((up - down) / (2 * step * spot), rel=1e-5)
    assert gamma == pytest.approx((up - 2 * flat + down) / (step * spot) ** 2, rel=1e-3)
    options = MARKET.listing.kind <= Kind.PUT
    richer = replace(MARKET, vol=np.where(options, MARKET.vol + 1e-5, 0.0))
    assert vega == pytest.approx((equity(richer) - flat) / 1e-5, rel=1e-3)
    later = replace(MARKET, seconds=MARKET.seconds - 60.0)
    assert theta == pytest.approx((equity(later) - flat) * 365 * 1440, rel=1e-3)


def test_delta_of_a_perpetual_is_the_slope_of_its_scenarios() -> None:
    book = one({PERP: 3.0})
    ladder = METHOD.ladder(book, MARKET)[0]
    assert METHOD.greeks(book, MARKET)[0, 0] * 0.15 * QUOTES.spot == pytest.approx(ladder[0])


def test_parameters_are_values() -> None:
    again: Pmrm2Parameters = arrays.parameters(RULES, ASSETS)
    assert again == PARAMETERS
    assert hash(again) == hash(PARAMETERS)
