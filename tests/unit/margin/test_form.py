"""The form: each of its parts does what its docstring says, on numbers one can check by hand."""

from dataclasses import replace

import numpy as np
import pytest

from keeper.margin.addons import Charges
from keeper.margin.book import Kind, Listing
from keeper.margin.errors import MarginInputError
from keeper.margin.form import Doubt, Form, Haircut
from keeper.margin.lp import Range, value
from keeper.margin.methods import deribit, reya
from keeper.margin.pricing import YEAR_S, black76
from keeper.margin.shocks import Shock, VolRule, historical
from keeper.margin.tree import Offsets, Reduction
from tests.unit.margin import sample
from tests.unit.margin.sample import BASE, CALL, FAR_CALL, FUTURE, OTHER_PERP, PERP, PUT


UP, DOWN = Shock(spot=0.1), Shock(spot=-0.1)


def need(form: Form, *accounts: dict[int, float], **changes: object) -> list[float]:
    result = form.require(sample.book(*accounts), sample.market(**changes))
    assert result.defined.all()
    return [float(each) for each in result.mm]


def test_a_perpetual_loses_its_price_times_the_move() -> None:
    form = Form("f", (UP, DOWN))
    assert need(form, {PERP: 2.0}, {PERP: -2.0}) == pytest.approx([20.04, 20.04])
    result = form.require(sample.book({PERP: 2.0}, {PERP: -2.0}), sample.market())
    assert result.worst.tolist() == [1, 0]


def test_a_future_follows_its_forward_and_the_basis() -> None:
    assert need(Form("f", (DOWN,)), {FUTURE: 1.0}) == pytest.approx([10.2])
    years = 90 / 365
    basis = Form("f", (Shock(basis=-0.2),))
    assert need(basis, {FUTURE: 1.0}) == pytest.approx([102.0 * 0.2 * years])


def test_an_absolute_move_is_the_same_as_its_share_of_spot() -> None:
    both = [need(Form("f", (s,)), {CALL: -1.0}) for s in (UP, Shock(spot_usd=10.0))]
    assert both[0] == pytest.approx(both[1])


def test_options_are_repriced_in_full() -> None:
    form = Form("f", (Shock(spot=-0.2, vol=0.5, days=10.0, rate=0.01),))
    market = sample.market()
    years = 20 / 365
    before = black76(
        np.array([100.5]),
        np.array([100.0]),
        np.array([30 * sample.DAY]),
        np.array([0.6]),
        np.exp(np.array([-0.03 * 30 / 365])),
        np.array([True]),
    )
    after = black76(
        np.array([80.4]),
        np.array([100.0]),
        np.array([years * YEAR_S]),
        np.array([0.9]),
        np.exp(np.array([-0.04 * years])),
        np.array([True]),
    )
    result = form.require(sample.book({CALL: 1.0}), market)
    assert result.equity[0] == pytest.approx(before[0])
    assert result.mm[0] == pytest.approx(before[0] - after[0])


def test_vol_moves_scale_with_maturity_and_have_a_floor() -> None:
    rule = VolRule(short_power=0.3, long_power=0.13, floor_days=1.0, floor_up=0.4)
    seconds = np.array([7.5, 60.0, 0.0]) * sample.DAY
    shocked = rule.shocked(np.array([0.5, 0.5, 0.1]), seconds, 0.2)
    assert shocked == pytest.approx([0.5 * (1 + 0.2 * 4**0.3), 0.5 * (1 + 0.2 * 0.5**0.13), 0.4])
    assert rule.shocked(np.array([0.5]), seconds[:1], -5.0) == 0.0
    assert VolRule(additive=True).shocked(np.array([0.5]), seconds[:1], 0.2) == pytest.approx(0.7)


def test_a_cover_counts_part_of_the_pnl() -> None:
    assert need(Form("f", (replace(DOWN, weight=0.33),)), {PERP: 1.0}) == pytest.approx([3.3066])


@pytest.mark.parametrize(("share", "expected"), [(1.0, 0.02), (0.5, 5.02), (0.0, 10.02)])
def test_gains_of_one_underlying_offset_another_by_their_share(
    share: float, expected: float
) -> None:
    form = Form("f", (DOWN,), offsets=Offsets(gain_share=share))
    assert need(form, {PERP: 1.0, OTHER_PERP: -10.0}) == pytest.approx([expected])


@pytest.mark.parametrize(("offset", "expected"), [(1.0, 0.02), (0.25, 15.02), (0.0, 20.02)])
def test_underlyings_net_by_their_offset(offset: float, expected: float) -> None:
    form = Form("f", (UP, DOWN), offsets=Offsets(underlying=offset))
    assert need(form, {PERP: 1.0, OTHER_PERP: -10.0}) == pytest.approx([expected])


def test_product_groups_net_inside_and_not_across() -> None:
    apart = Offsets(group=0.0, groups=(0, 1))
    together = Offsets(group=0.0, groups=(0, 0))
    needs = [
        need(Form("f", (UP, DOWN), offsets=each), {PERP: 1.0, OTHER_PERP: -10.0})[0]
        for each in (apart, together)
    ]
    assert needs == pytest.approx([20.02, 0.02])


def test_expiries_net_by_their_offset() -> None:
    legs = {CALL: 1.0, FAR_CALL: -1.0}
    none = need(Form("f", (UP, DOWN), offsets=Offsets(expiry=0.0)), legs)[0]
    alone = need(Form("f", (UP, DOWN)), {CALL: 1.0}, {FAR_CALL: -1.0})
    assert none == pytest.approx(sum(alone))
    assert need(Form("f", (UP, DOWN)), legs)[0] < none


def test_the_quadratic_form_is_reyas() -> None:
    matrix = ((1.0, 0.8), (0.8, 1.0))
    form = Form("f", (UP, DOWN), offsets=Offsets(correlation=matrix))
    got = need(form, {PERP: 1.0, OTHER_PERP: -5.0})[0]
    expected = reya.liquidation_margin(np.array([10.02, 5.0]), np.array(matrix))
    assert got == pytest.approx(expected)


def test_inverse_settlement_is_deribits() -> None:
    rules = deribit.Rules(0.16, 4, 0.0, 0.01, 0.8, 2e7)
    found = deribit.simulate(rules, np.array([0.3, -0.1]), 100.0)
    even = sample.market(perp_price=np.array([100.0, 10.0]), forward_variable=np.full(2, 100.0))
    result = deribit.method(rules, 0.5, 0.25).require(sample.book({PERP: 0.3, FUTURE: -0.1}), even)
    coins = result.mm[0] / 100.0
    assert coins == pytest.approx(0.8 * (found.worst_case + found.roll_shock))


def test_an_inverse_option_loses_coins_even_where_its_dollars_do_not_move() -> None:
    plain, coin = (Form("f", (Shock(spot=1.0),), inverse=each) for each in (False, True))
    legs = {CALL: 1.0}
    value, gain = (
        plain.require(sample.book(legs), sample.market()).equity[0],
        plain.ladder(sample.book(legs), sample.market())[0, 0],
    )
    coins_before, coins_after = value / 100.0, (value + gain) / 200.0
    got = coin.ladder(sample.book(legs), sample.market())[0, 0]
    assert got == pytest.approx((coins_after - coins_before) * 100.0)


def test_value_at_risk_and_the_blend_look_at_history_only() -> None:
    days = historical(np.array([[x / 1000, 0.0] for x in range(-50, 51)]))
    stress = (Shock(spot=-0.3),)
    loss = -np.quantile(np.arange(-50, 51) / 10, 0.05) * 1.002
    var = Form("f", (*days, *stress), reduction=Reduction(level=0.95))
    assert need(var, {PERP: 1.0}) == pytest.approx([loss])
    blend = Form("f", (*days, *stress), reduction=Reduction(level=0.95, blend=0.75))
    assert need(blend, {PERP: 1.0}) == pytest.approx([0.75 * loss + 0.25 * 30.06])
    tail = Form("f", days, reduction=Reduction(level=0.95, shortfall=True))
    assert need(tail, {PERP: 1.0})[0] == pytest.approx(
        1.002 * np.mean([4.5, 4.6, 4.7, 4.8, 4.9, 5])
    )


@pytest.mark.parametrize(
    ("charges", "legs", "expected"),
    [
        (Charges(linear=0.01), {PERP: 2.0, FUTURE: -1.0}, 3.0),
        (Charges(naked_short=0.02), {CALL: -3.0, PUT: 1.0}, 6.0),
        (Charges(short_option=0.01, short_option_usd=1.0), {CALL: -3.0, PUT: -1.0}, 8.0),
        (Charges(fee=0.001), {PERP: -2.0}, 0.2),
        (Charges(delta_net=0.02, delta_hedged=0.01), {PERP: 1.0, FUTURE: -1.0}, 1.002 + 0.036),
        (Charges(concentrated=0.1, concentrated_usd=150.3), {PERP: 2.0}, 5.01),
        (Charges(impact=0.1, depth_usd=100.2), {PERP: 1.0}, 10.02),
    ],
)
def test_each_charge_is_its_rate_times_what_it_names(
    charges: Charges, legs: dict[int, float], expected: float
) -> None:
    form = Form("f", (), charges=charges)
    assert need(form, legs) == pytest.approx([expected])


def test_calendar_spreads_pay_on_the_delta_that_offsets() -> None:
    form = Form("f", (), charges=Charges(calendar=0.05))
    pair = {PERP: 2.0, FUTURE: -1.0}
    assert need(form, pair) == pytest.approx([0.05 * 1.02 * 100.0])
    assert need(form, {PERP: 2.0}) == [0.0]


def test_a_floor_binds_when_the_scenarios_lose_less() -> None:
    form = Form("f", (Shock(spot=-0.001),), charges=Charges(short_option_usd=5.0))
    result = form.require(sample.book({CALL: -1.0}), sample.market())
    assert result.mm[0] == 5.0
    assert result.worst[0] == form.scenarios


def test_haircuts_stay_out_of_the_stress_unless_told() -> None:
    still = Form("f", (DOWN,), haircuts=(Haircut(mm=0.2, im=0.1),))
    result = still.require(sample.book({BASE: 2.0}), sample.market())
    assert (result.mm[0], result.im[0]) == pytest.approx((40.0, 60.0))
    moving = Form("f", (DOWN,), haircuts=(Haircut(stressed=True),))
    assert need(moving, {BASE: 2.0}) == pytest.approx([20.0])
    owed = still.require(sample.book({BASE: -2.0}), sample.market())
    assert owed.mm[0] == 0.0
    assert owed.equity[0] == -200.0


def test_a_dynamic_haircut_is_the_larger_of_static_and_volatile() -> None:
    calm, wild = Haircut(mm=0.1, vol=0.4, vol_days=365.0, deviations=2.0), Haircut(mm=0.9)
    one = np.array([1.0])
    assert calm.maintenance(one)[0] == pytest.approx(0.8)
    assert replace(wild, vol=0.1, vol_days=1.0, deviations=1.0).maintenance(one)[0] == 0.9


def test_a_dynamic_haircut_grows_with_the_days_a_position_takes_to_sell() -> None:
    cut = Haircut(vol=0.5, vol_days=1.0, deviations=2.0, sold_a_day=10.0)
    few, many, huge = cut.maintenance(np.array([0.0, 80.0, 1e9]))

    assert few == pytest.approx(2.0 * 0.5 * (1.0 / 365.0) ** 0.5)
    assert many == pytest.approx(2.0 * 0.5 * (9.0 / 365.0) ** 0.5)
    assert huge == 1.0


def test_a_depeg_moves_stressed_collateral_the_other_way() -> None:
    form = Form("f", (Shock(peg=0.25),), haircuts=(Haircut(stressed=True),))
    assert need(form, {BASE: 1.0}) == pytest.approx([20.0])


def test_doubt_adds_to_initial_margin_only() -> None:
    form = Form("f", (DOWN,), doubt=Doubt(0.5, 0.2, 0.98, 4.0))
    market = sample.market(spot_confidence=np.array([0.4, 1.0]), stable=0.95)
    result = form.require(sample.book({PERP: 1.0}), market)
    assert result.mm[0] == pytest.approx(10.02)
    assert result.im[0] == pytest.approx(10.02 * 1.12 + 0.6 * 0.2 * 100.0)


def test_an_lp_position_follows_its_value_function() -> None:
    whole = sample.market()
    listing = Listing(
        np.array([Kind.LP], np.int8), np.zeros(1, np.int32), np.full(1, -1, np.int32), np.zeros(1)
    )
    one = np.zeros(1)
    market = replace(
        whole, listing=listing, vol=one, price=one, confidence=one, usable=np.ones(1, np.bool_)
    )
    span = Range(80.0, 120.0)
    form = Form("f", (Shock(spot=-0.3),), ranges=(span,))
    result = form.require(sample.book({0: 50.0}), market)
    worth = value(50.0, span, np.array([100.0, 70.0]))
    assert result.equity[0] == pytest.approx(worth[0])
    assert result.mm[0] == pytest.approx(worth[0] - worth[1])
    delta = form.greeks(sample.book({0: 50.0}), market)[0, 0]
    slope = value(50.0, span, np.array([100.001, 99.999]))
    assert delta == pytest.approx((slope[0] - slope[1]) / 0.002, rel=1e-6)


def test_an_account_does_not_depend_on_its_neighbours() -> None:
    form = Form("f", (UP, DOWN), charges=Charges(linear=0.01, naked_short=0.01))
    legs = [{PERP: 1.0, CALL: -1.0}, {}, {PUT: -2.0, OTHER_PERP: 3.0}]
    together = form.require(sample.book(*legs), sample.market())
    for row, each in enumerate(legs):
        alone = form.require(sample.book(each), sample.market())
        assert alone.mm[0] == together.mm[row]
        assert alone.worst[0] == together.worst[row]


def test_the_worst_scenario_alone_gives_the_requirement() -> None:
    form = Form("f", (UP, DOWN), mm_factor=0.7)
    book, market = sample.book({PERP: 1.0, CALL: -2.0}, {PUT: -1.0}), sample.market()
    result = form.require(book, market)
    assert form.under_scenario(book, market, result.worst) == pytest.approx(result.excess)
    other = form.under_scenario(book, market, 1 - result.worst)
    assert (other >= result.excess).all()
    ladder = form.ladder(book, market)
    assert ladder.shape == (2, 3)
    assert -ladder.min(axis=1) * 0.7 == pytest.approx(result.mm)
    with pytest.raises(MarginInputError, match="scenario"):
        form.under_scenario(book, market, np.array([0, 2]))


def test_an_empty_book_needs_nothing() -> None:
    form = Form("f", (UP, DOWN))
    assert need(form, {}, {}) == [0.0, 0.0]
    assert form.require(sample.book(), sample.market()).mm.shape == (0,)
