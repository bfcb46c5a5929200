"""Rules without a published number, on cases one can settle by hand."""

import numpy as np
import pytest

from keeper.margin import lp, tiers
from keeper.margin.addons import Charges
from keeper.margin.errors import MarginInputError
from keeper.margin.methods import (
    binance,
    deribit,
    finra,
    hyperliquid,
    kraken,
    lp_lending,
    okx,
    span,
    synthetix,
)
from keeper.margin.methods.tiered import Tiered
from keeper.margin.surface import RawSvi, surface_vol
from tests.unit.margin import sample
from tests.unit.margin.sample import CALL, OTHER_PERP, PERP


def test_kraken_stresses_nothing_of_a_pure_delta_and_charges_it_on_its_own() -> None:
    method = kraken.method(0.3, 0.3, 0.02, Charges())
    result = method.require(sample.book({PERP: 3.0}, {CALL: -1.0}), sample.market())
    assert method.scenarios == 23
    assert result.mm[0] == pytest.approx(0.02 * 3.0 * 100.2)
    assert result.mm[1] > 0.02 * 50.0
    hedged = method.ladder(sample.book({PERP: 3.0}), sample.market())[0]
    assert hedged[:-1] == pytest.approx(np.zeros(23), abs=1e-9)


def test_greedy_spreads_use_up_the_deltas_in_priority_order() -> None:
    deltas, risks = {"a": 10.0, "b": -4.0, "c": -20.0}, {"a": 100.0, "b": 50.0, "c": 10.0}
    spreads = ((0.5, {"a": 1.0, "b": -1.0}), (0.25, {"a": 1.0, "c": -2.0}))
    earned = span.greedy_credits(deltas, risks, spreads)
    assert earned["b"] == pytest.approx(0.5 * 50.0 * 4.0)
    assert earned["a"] == pytest.approx(0.5 * 100.0 * 4.0 + 0.25 * 100.0 * 6.0)
    assert earned["c"] == pytest.approx(0.25 * 10.0 * 12.0)
    same_side = span.greedy_credits({"a": 1.0, "b": 2.0}, risks, ((0.5, {"a": 1.0, "b": -1.0}),))
    assert same_side == {"a": 0.0, "b": 0.0}


def test_span_takes_the_larger_of_its_sum_and_its_minimum() -> None:
    assert span.requirement(100.0, 20.0, 30.0, 50.0) == 90.0
    assert span.requirement(100.0, 20.0, 90.0, 50.0) == 50.0


def test_tiers_join_up_without_a_step() -> None:
    steps = tiers.tiers_from_leverage([(0.0, 50.0), (1_000.0, 20.0), (5_000.0, 5.0)])
    for lower in (1_000.0, 5_000.0):
        below, at = (tiers.tier_maintenance(steps, n) for n in (lower - 1e-9, lower))
        assert at == pytest.approx(below)
    assert tiers.tier_maintenance(steps, 0.0) == 0.0
    for wrong in ([], [(1.0, 5.0)], [(0.0, 5.0), (0.0, 4.0)]):
        with pytest.raises(MarginInputError, match="tiers"):
            tiers.tiers_from_leverage(wrong)


def test_the_tiered_method_liquidates_at_the_price_of_the_formula() -> None:
    steps = tiers.tiers_from_leverage([(0.0, 20.0)])
    method = Tiered("tiers", steps)
    price = tiers.isolated_by_leverage(100.2, 1.0, 2.0, 30.0, 20.0)
    market = sample.market(perp_price=np.array([price, 10.0]))
    book = sample.book({PERP: 2.0}, cash=30.0 + 2.0 * (price - 100.2))
    assert method.require(book, market).excess[0] == pytest.approx(0.0, abs=1e-9)
    assert not method.require(sample.book({CALL: 1.0}), market).defined[0]
    both = method.require(sample.book({PERP: -1.0, OTHER_PERP: 10.0}), sample.market())
    assert both.mm[0] == pytest.approx((100.2 + 100.0) / 40.0)
    assert both.im[0] == pytest.approx((100.2 + 100.0) / 20.0)


def test_ratios_of_whole_accounts() -> None:
    coins = (binance.CoinEquity(1.0, 100.0, 0.9), binance.CoinEquity(-1.0, 20.0, 0.5))
    assert binance.unified_ratio(coins, 10.0, 4.0) == pytest.approx(70.0 / 14.0)
    assert binance.unified_ratio(coins, 0.0, 0.0) == float("inf")
    token = hyperliquid.Borrowed(50.0, 1.0, 0.0, 1e6, (10.0, 20.0, 0.5, 1e9))
    ratio = hyperliquid.portfolio_ratio(5.0, (token,))
    assert ratio == pytest.approx(75.0 / 150.0)
    assert hyperliquid.portfolio_ratio(5.0, ()) == 0.0


def test_okx_takes_the_larger_risk_and_the_minimum() -> None:
    risks = okx.Risks(mr1=10.0, mr2=12.0, mr3=1.0, mr4=2.0, mr5=3.0, mr6=11.0, mr7=0.0)
    assert risks.mmr == 18.0
    assert okx.Risks(mr1=1.0, mr7=5.0).mmr == 5.0
    assert okx.scenario_loss(np.array([1.0, 2.0])) == 0.0


def test_deribit_refuses_a_delta_whose_shock_is_not_published() -> None:
    rules = deribit.Rules(0.16, 4, 0.0, 0.01, 0.8, 20e6)
    with pytest.raises(MarginInputError, match="delta shock"):
        deribit.simulate(rules, np.array([1_000.0]), 60_000.0)
    hedged = deribit.simulate(rules, np.array([1_000.0, -1_000.0]), 60_000.0)
    assert hedged.worst_case == 0.0
    assert hedged.roll_shock == pytest.approx(20.0)


def test_the_house_range_is_never_narrower() -> None:
    house = finra.method("high_cap_broad_index", house=True)
    assert [each.spot for each in house.shocks][0::9] == pytest.approx([-0.15, 0.15])
    plain = finra.method("high_cap_broad_index")
    assert [each.spot for each in plain.shocks][0::9] == pytest.approx([-0.08, 0.06])


def test_a_surface_meets_its_smiles_and_lies_between() -> None:
    near, far = RawSvi(0.02, 0.1, -0.3, 0.0, 0.1), RawSvi(0.05, 0.12, -0.2, 0.05, 0.2)
    smiles = ((0.1, near), (0.5, far))
    assert surface_vol(smiles, 0.1, 0.1) == pytest.approx((near.variance(0.1) / 0.1) ** 0.5)
    assert surface_vol(smiles, 0.1, 2.0) == pytest.approx((far.variance(0.1) / 0.5) ** 0.5)
    middle = surface_vol(smiles, 0.1, 0.3) ** 2 * 0.3
    assert middle == pytest.approx(0.5 * (near.variance(0.1) + far.variance(0.1)))
    with pytest.raises(MarginInputError, match="smiles"):
        surface_vol((smiles[1], smiles[0]), 0.1, 0.3)


def test_a_range_loses_nothing_where_it_was_opened_and_more_than_the_full_range_beside() -> None:
    span_ = lp.Range(80.0, 125.0)
    prices = np.array([100.0, 90.0, 200.0, 40.0])
    loss = lp.range_loss(10.0, span_, 100.0, prices)
    assert loss[0] == pytest.approx(0.0, abs=1e-15)
    assert (loss[1:] < [lp.full_range_loss(p / 100.0) for p in prices[1:]]).all()
    x, y = lp.amounts(10.0, span_, prices)
    assert x[2] == 0.0
    assert y[3] == 0.0


def test_the_remaining_formulae() -> None:
    assert lp_lending.panoptic_strangle(0.2) == 0.1
    assert synthetix.initial_ratio(-20.0, 1000.0, 1.5, 0.02) == pytest.approx(0.05)
    assert synthetix.fill_price(100.0, 10.0, -4.0, 100.0) == pytest.approx(108.0)
    assert lp.tick_of_root(2**96) == 0
    assert lp.tick_of_root(2**96 - 1) == -1


def test_a_price_risk_below_nothing_earns_no_credit() -> None:
    array = np.zeros(16)
    array[0] = array[1] = 8.0  # time costs more than any move does
    leg = span.Leg(array, delta=2.0, ratio=1.0, credit=0.5)
    assert leg.futures_price_risk == 0.0
    array[0], array[1] = 9.0, -1.0
    assert span.Leg(array, 2.0, 1.0, 0.5).price_risk == 0.0
    array[:] = [1.0, 9.0, 2.0, -20.0, *[0.0] * 12]
    lower = span.Leg(np.where(array == 9.0, 1.5, array), 2.0, 1.0, 0.5)
    assert lower.futures_price_risk < 0.0
    assert lower.price_risk == 0.0
