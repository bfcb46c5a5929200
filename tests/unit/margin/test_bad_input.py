"""Nothing that is no number becomes a requirement: a classified error, or an undefined account."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from keeper.margin import answers, backtests, distributions, lp, procyclicality, surface, tiers, var
from keeper.margin.blackscholes import SpotOption
from keeper.margin.book import Market, Method
from keeper.margin.errors import MarginInputError
from keeper.margin.methods import (
    aave_v3,
    aevo,
    binance,
    compound_v3,
    dederi,
    deribit,
    drift,
    dydx,
    finra,
    hyperliquid,
    lp_lending,
    morpho_blue,
    okx,
    paradex,
    registry,
    regt,
    reya,
    span,
    synthetix,
    vega,
)
from keeper.margin.seizure import Reserve
from keeper.margin.shocks import Shock
from tests.unit.margin import sample
from tests.unit.margin.sample import BASE, CALL, FUTURE, OTHER_PERP, PERP, PUT


NAN, INF = math.nan, math.inf
SERIES = np.array([0.01, -0.02, 0.03])
ODD: list[tuple[str, Callable[[Any], Any], tuple[Any, ...]]] = [
    ("spot", lambda x: SpotOption(x, 1, 0, 0, 1, 0.5, True), (NAN, INF, -1, 0)),
    ("strike", lambda x: SpotOption(1, x, 0, 0, 1, 0.5, True), (NAN, INF, -1)),
    ("years", lambda x: SpotOption(1, 1, 0, 0, x, 0.5, True), (NAN, INF, -1)),
    ("vol", lambda x: SpotOption(1, 1, 0, 0, 1, x, True), (NAN, INF, -1)),
    ("confidence", lambda x: var.historical(SERIES, x), (NAN, 0, 1, -1, 2)),
    ("returns", lambda x: var.gaussian(np.array([0.1, x]), 0.9), (NAN, INF)),
    ("freedom", lambda x: var.student_tail(1, 0.99, x), (NAN, 2, -1)),
    ("daily_vol", lambda x: var.horizon_deviation(1, x, 1), (NAN, -1)),
    ("decay", lambda x: var.ewma_vols(SERIES, x), (NAN, 0, 1)),
    ("failures", lambda x: backtests.kupiec(10, x, 0.99), (-1, 11)),
    ("series", lambda x: procyclicality.peak_to_trough(np.array([1, x])), (NAN, 0, -1)),
    ("chance", distributions.normal_quantile, (NAN, 0, 1)),
    ("entry", lambda x: tiers.isolated_bybit(x, 1, 5, 0.01), (NAN, INF, 0, -1)),
    ("size", lambda x: tiers.isolated_by_leverage(10, 1, x, 1, 20), (NAN, 0, -1)),
    ("P", lambda x: lp.value(1, lp.Range(1, 2), np.array([x])), (NAN, INF, 0, -1)),
    ("Pa", lambda x: lp.Range(x, 2), (NAN, 0, -1, 2, 3)),
    ("strike", lambda x: surface.log_moneyness(x, 1), (NAN, INF, 0, -1)),
    ("total_variance", lambda x: surface.RawSvi(x, 0.1, 0, 0, 0.1).variance(0), (NAN, -1)),
    ("price", lambda x: Reserve(1, x), (NAN, INF, 0, -1)),
    ("amount", lambda x: Reserve(x, 1), (NAN, INF, -1)),
    ("hf", lambda x: aave_v3.seize(aave_v3.AaveRules(1.05), 1, x, 1, 1), (NAN, INF, 0, -1)),
    ("bonus", aave_v3.AaveRules, (NAN, 0.5)),
    ("spot", lambda x: aevo.spot_ends(x, 0.2, 0.2), (NAN, INF, 0, -1)),
    ("mark", lambda x: binance.profit(1, 1, x, 1), (NAN, INF, 0, -1)),
    ("price", lambda x: compound_v3.quote_collateral(1, x, 0.5, 0.5), (NAN, INF, 0, -1)),
    ("index", lambda x: dederi.forward(x, 0.1, 10), (NAN, INF, 0, -1)),
    ("days", lambda x: dederi.forward(1, 0.1, x), (NAN, INF, -1)),
    ("price_range", lambda x: deribit.Rules(x, 4, 0, 0, 0.8, 1), (NAN, 0, 1)),
    ("tokens", drift.size_of, (NAN, INF, -1)),
    ("size", lambda x: drift.asset_weight(x, 1, 1), (-1,)),
    ("base_ppm", lambda x: dydx.scaled_ppm(x, 0, 0, 0), (NAN, -1, 10**7)),
    ("quantums", lambda x: dydx.initial_margin(x, dydx.Fraction(1, 2)), (-1,)),
    ("range", lambda x: finra.stock_requirement(1, 1, x), (NAN, 0, -1)),
    ("n", lambda x: finra.valuation_points(-0.1, 0.1, x), (0, 3, -2)),
    ("ltv", hyperliquid.liquidation_threshold, (NAN, -1, 2)),
    ("utilization", lambda x: lp_lending.panoptic_ratios(x, 0.2, 0.1, 0.5, 0.9), (NAN, -1, 2)),
    ("lltv", morpho_blue.incentive, (NAN, -1, 2)),
    ("pnl", lambda x: okx.scenario_loss(np.array([x])), (NAN, INF)),
    ("mark", lambda x: paradex.cross_perpetual(1, 1, x, (0.1, 0.5, 0)), (NAN, INF, 0, -1)),
    ("underlying.price", regt.Underlying, (NAN, INF, 0, -1)),
    ("leg.strike", lambda x: regt.OptionLeg(True, x, 1, 1, 1), (NAN, INF, 0, -1)),
    ("E", lambda x: reya.liquidation_margin(np.array([x]), np.eye(1)), (NAN, INF)),
    ("F", lambda x: span.option_array(option(x), scanned()), (NAN, INF, 0, -1)),
    ("index", lambda x: synthetix.fill_price(x, 0, 1, 1), (NAN, INF, 0, -1)),
    ("mark", lambda x: vega.maintenance(1, x, vega.RiskFactors(0.1, 0.1, 0.1)), (NAN, 0, -1)),
    ("shock.spot", lambda x: Shock(spot=x), (NAN, INF, -1, -2)),
    ("shock.vol", lambda x: Shock(vol=x), (NAN, INF)),
    ("shock.weight", lambda x: Shock(weight=x), (NAN, INF, -1)),
]


def option(futures: float) -> span.OptionModel:
    return span.OptionModel(futures, 20.0, 0.4, 1.0, 0.1, True)


def scanned() -> span.ScanRange:
    return span.ScanRange(2.0, 0.05, 0.0, 1120.0, span.Extreme())


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        pytest.param(call, x, id=f"{n}-{field}-{x}")
        for n, (field, call, values) in enumerate(ODD)
        for x in values
    ],
)
def test_a_wrong_number_is_a_classified_error(call: Callable[[Any], Any], wrong: Any) -> None:
    with pytest.raises(MarginInputError) as caught:
        call(wrong)
    assert caught.value.field
    assert caught.value.cure


OPTIONS: dict[str, dict[str, Any]] = {
    "derive-pmrm2": {
        "collateral": [{"risk_cancelling": True, "mm_haircut": 0.1, "im_haircut": 0.05}]
    },
    "derive-srm": {"rules": [{}, {"perp_mm": 0.1}]},
    "span": {"scan": 0.15, "vol": 0.25},
    "okx": {"coin_class": "btc_eth", "vol": 0.5},
    "dederi": {"vol_up": 0.5, "vol_down": 0.25},
    "span2": {
        "history": [[-0.1, 0.1], [0.05, 0.0], [-0.02, 0.0]],
        "stress": [{"spot": -0.3}],
        "blend": 0.8,
        "confidence": 0.9,
    },
    "bybit": {"shocks": [{"spot": -0.15}, {"spot": 0.15}], "initial": 1.3},
    "kraken": {"vol": 0.3, "cover": 0.3, "net_delta": 0.01},
    "tiers": {"tiers": [[0, 50], [1000, 20]]},
}
MADE = [name for name, entry in registry.TABLE.items() if entry.make]
LEGS = (
    {CALL: -1.0, PUT: 2.0, PERP: 1.0},
    {PERP: -2.0, BASE: 1.0},
    {OTHER_PERP: 1.0},
    {FUTURE: 1.0},
)


def methods(market: Market) -> list[Method]:
    return [registry.make(name, OPTIONS.get(name, {}), market) for name in MADE]


def wholesome(method: Method, market: Market, cash: float = 100.0) -> np.ndarray:
    """Return which accounts have a number; whatever is asked, no NaN comes out."""
    book = sample.book(*LEGS, {}, cash=cash)
    result = method.require(book, market)
    for each in fields(result):
        column = getattr(result, each.name)
        assert np.isfinite(column).all(), (method.name, each.name)
        if each.name != "defined":
            assert (column[~result.defined] == 0).all(), (method.name, each.name)
    assert np.isfinite(method.ladder(book, market)).all(), method.name
    assert np.isfinite(method.greeks(book, market)).all(), method.name
    if method.scenarios:
        asked = np.zeros(book.accounts, np.int64)
        assert np.isfinite(method.under_scenario(book, market, asked)).all(), method.name
    return result.defined


@pytest.mark.parametrize("wrong", [NAN, INF, -INF, -1.0, 0.0])
@pytest.mark.parametrize("factor", ["spot", "perp_price", "forward_variable", "vol", "price"])
def test_a_wrong_quote_never_becomes_a_requirement(factor: str, wrong: float) -> None:
    market = sample.market()
    values = getattr(market, factor).copy()
    values[{"price": BASE}.get(factor, 0)] = wrong
    hurt = replace(market, **{factor: values})
    for method in methods(market):
        defined = wholesome(method, hurt)
        touched = {"price": 1}.get(factor, 0)
        if factor in ("vol", "price") and wrong == 0.0:
            continue  # no vol is intrinsic value, a worthless collateral is worth nothing
        if wrong == 0.0 and factor != "spot" and method.name == "derive-pmrm2":
            continue  # the chain has a value for a forward or a perpetual at zero
        assert not defined[touched], (method.name, factor, wrong)


@pytest.mark.parametrize("factor", ["seconds", "rate"])
@pytest.mark.parametrize("wrong", [NAN, INF, -1.0])
def test_a_wrong_date_or_rate_never_becomes_a_requirement(factor: str, wrong: float) -> None:
    market = sample.market()
    values = getattr(market, factor).copy()
    values[0] = wrong
    for method in methods(market):
        assert not wholesome(method, replace(market, **{factor: values}))[0], method.name


@pytest.mark.parametrize("wrong", [NAN, INF, -1.0, 0.0])
def test_a_wrong_stable_coin_price_never_becomes_a_requirement(wrong: float) -> None:
    market = sample.market()
    for method in methods(market):
        assert not wholesome(method, replace(market, stable=wrong))[1], method.name


@pytest.mark.parametrize("wrong", [NAN, INF, -INF])
def test_wrong_cash_never_becomes_a_requirement(wrong: float) -> None:
    market = sample.market()
    for method in methods(market):
        assert not wholesome(method, market, cash=wrong).any(), method.name


@pytest.mark.parametrize("strike", [0.0, 1e-300, 1e300])
def test_an_absurd_strike_has_a_number_or_none(strike: float) -> None:
    market = sample.market()
    strikes = market.listing.strike.copy()
    strikes[CALL] = strike
    for method in methods(market):
        wholesome(method, replace(market, listing=replace(market.listing, strike=strikes)))


def test_zero_time_is_intrinsic_value() -> None:
    market = sample.market(seconds=np.zeros(2))
    for method in methods(market):
        wholesome(method, market)


def test_sound_input_is_defined_everywhere_it_should_be() -> None:
    market = sample.market()
    for method in methods(market):
        assert wholesome(method, market)[4], method.name
        assert wholesome(method, market)[1] or method.name == "tiers", method.name


@pytest.mark.parametrize("name", ["spam", "", "pmrm2", "SPAN"])
def test_an_unknown_method_says_what_was_meant(name: str) -> None:
    with pytest.raises(MarginInputError, match="method"):
        registry.make(name, {}, sample.market())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("span", {"scam": 0.1}),
        ("span", {"scan": 0.1}),
        ("span", {"scan": "wide", "vol": 0.2}),
        ("span", {"scan": NAN, "vol": 0.2}),
        ("derive-pmrm2", {"collateral": []}),
        ("span2", {}),
        ("okx", {"coin_class": "dust", "vol": 0.5}),
        ("tims", {"product": "dust"}),
        ("aave-v3", {}),
        ("derive-srm", {"rules": 1}),
        ("bybit", {"shocks": 3, "initial": 1}),
        ("bybit", {"shocks": [{"spod": 3}], "initial": 1}),
        ("kraken", {"vol": 0.3, "cover": NAN, "net_delta": 0.1}),
        ("tiers", {"tiers": [[1, 50]]}),
        ("tiers", {"tiers": [[0, 0]]}),
    ],
)
def test_an_unknown_or_wrong_option_is_a_classified_error(
    name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(MarginInputError):
        registry.make(name, options, sample.market())


def test_answers_refuse_what_is_not_there() -> None:
    market, book = sample.market(), sample.book({PERP: 1.0})
    method = registry.make("paradex", {}, market)
    with pytest.raises(MarginInputError, match="account"):
        answers.one_account(book, 1)
    with pytest.raises(MarginInputError, match="instrument"):
        answers.closing(method, book, market, 0, (CALL, 0.5))
    with pytest.raises(MarginInputError, match="fraction"):
        answers.closing(method, book, market, 0, (PERP, 1.5))
    with pytest.raises(MarginInputError, match="spot move"):
        answers.moved(book, market, NAN, 0.0)
