"""Answers agree with the requirement they are about, for methods of every build."""

import numpy as np
import pytest

from keeper.margin import answers
from keeper.margin.book import Method
from keeper.margin.form import Form
from keeper.margin.methods import paradex, pmrm1, srm
from keeper.margin.methods.defaults import pmrm2_mainnet
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.margin.shocks import Shock
from tests.unit.margin import sample
from tests.unit.margin.sample import BASE, CALL, FUTURE, OTHER_PERP, PERP, PUT


MARKET = sample.market()
METHODS: list[Method] = [
    paradex.method(),
    Pmrm2(pmrm2_mainnet(1)),
    pmrm1.Pmrm1(pmrm1.mainnet()),
    srm.Srm((srm.SrmRules(), srm.SrmRules())),
]
NAMES = [each.name for each in METHODS]


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_greeks_by_underlying_add_up_where_all_is_margined(method: Method) -> None:
    book = sample.book({CALL: -1.0, PERP: 2.0}, {PUT: 1.0})
    split = answers.net_greeks(method, book, MARKET)
    assert split.shape == (2, 2, 4)
    assert split[:, 0] == pytest.approx(method.greeks(book, MARKET))
    assert (split[:, 1] == 0.0).all()


def test_greeks_of_two_coins_are_told_apart() -> None:
    split = answers.net_greeks(paradex.method(), sample.book({PERP: 2.0, OTHER_PERP: -3.0}), MARKET)
    assert split[0, :, 0] == pytest.approx([2.004, -3.0])


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_a_leg_releases_what_the_margin_falls_without_it(method: Method) -> None:
    book = sample.book({}, {CALL: -1.0, PUT: -1.0, PERP: 0.5}, cash=50.0)
    shares = answers.contributions(method, book, MARKET, 1)
    assert [each.instrument for each in shares] == [CALL, PUT, PERP]
    whole = method.require(book, MARKET).mm[1]
    without = method.require(sample.book({PUT: -1.0, PERP: 0.5}), MARKET).mm[0]
    assert shares[0].released == pytest.approx(whole - without)
    assert shares[0].alone == pytest.approx(method.require(sample.book({CALL: -1.0}), MARKET).mm[0])
    total = answers.isolated(method, book, MARKET)
    assert total[1] == pytest.approx(sum(each.alone for each in shares))
    assert total[0] == 0.0


def test_tiers_of_one_book_stand_side_by_side() -> None:
    book = sample.book({CALL: -1.0, PERP: 0.5})
    methods = (paradex.method(), Form("half", (Shock(spot=-0.5),)))
    found = answers.side_by_side(methods, book, MARKET)
    assert list(found) == ["paradex", "half"]
    for result, alone in found.values():
        assert alone[0] >= result.mm[0]


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_the_line_is_where_the_distance_says(method: Method) -> None:
    book = sample.book({CALL: -2.0, PERP: 0.3}, cash=55.0)
    found = answers.liquidation_distance(method, book, MARKET, 0)
    assert found.spot_up is not None
    assert found.vol_up is not None
    for spot, vol in ((found.spot_up, 0.0), (0.0, found.vol_up)):
        at = method.require(*answers.moved(book, MARKET, spot, vol)).excess[0]
        short = method.require(*answers.moved(book, MARKET, spot * 0.999, vol * 0.999)).excess[0]
        assert at < 0.0 <= short
        assert at == pytest.approx(0.0, abs=1e-6)


def test_a_perpetual_breaches_at_the_price_one_can_compute() -> None:
    method = Form("ten", (Shock(spot=-0.1), Shock(spot=0.1)))
    book = sample.book({PERP: 1.0}, cash=30.0)
    found = answers.liquidation_distance(method, book, MARKET, 0)
    assert found.spot_down == pytest.approx(-(30.0 - 10.02) / (100.2 - 10.02))
    assert found.spot_up is None
    assert found.vol_up is None


def test_a_breach_already_there_is_a_move_of_zero() -> None:
    found = answers.liquidation_distance(paradex.method(), sample.book({PERP: 1.0}), MARKET, 0)
    assert (found.spot_up, found.spot_down, found.vol_up, found.vol_down) == (0.0,) * 4


def test_a_move_keeps_equity_in_step_with_profit() -> None:
    method = Form("plain", ())
    book = sample.book({PERP: 2.0, FUTURE: -1.0, BASE: 3.0, OTHER_PERP: 1.0})
    after = method.require(*answers.moved(book, MARKET, 0.1, 0.0)).equity[0]
    assert after - 300.0 == pytest.approx(20.04 - 10.2 + 30.0 + 1.0)
    still = np.zeros(7, np.bool_)
    kept = method.require(*answers.moved(book, MARKET, 0.1, 0.0, still)).equity[0]
    assert kept - 300.0 == pytest.approx(20.04 - 10.2 + 1.0)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_closing_at_mark_keeps_equity_and_frees_margin(method: Method) -> None:
    book = sample.book({CALL: -1.0, PUT: 1.0}, cash=20.0)
    nothing = answers.closing(method, book, MARKET, 0, (CALL, 0.0))
    assert nothing.excess_after == nothing.excess_before
    assert nothing.mm_after == nothing.mm_before
    whole = answers.closing(method, book, MARKET, 0, (CALL, 1.0))
    freed = whole.mm_before - whole.mm_after
    assert freed > 0.0
    assert whole.excess_after - whole.excess_before == pytest.approx(freed)
    half = answers.closing(method, book, MARKET, 0, (CALL, 0.5))
    assert half.mm_after < half.mm_before


def test_the_grid_holds_the_point_that_does_not_move() -> None:
    method, book = paradex.method(), sample.book({CALL: -1.0}, {PERP: 1.0}, cash=40.0)
    moves = np.array([-0.1, 0.0, 0.1])
    excess, equity = answers.grid(method, book, MARKET, moves, moves)
    here = method.require(book, MARKET)
    assert excess.shape == (3, 3, 2)
    assert excess[1, 1] == pytest.approx(here.excess)
    assert equity[1, 1] == pytest.approx(here.equity)
    assert answers.ladder(method, book, MARKET, 1).shape == (method.scenarios + 1,)
