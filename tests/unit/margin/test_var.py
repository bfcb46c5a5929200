"""Quantiles against scipy; estimators against samples whose answer is known."""

import importlib.util

import numpy as np
import pytest
from scipy import stats

from keeper.margin import backtests, distributions, var
from keeper.margin.errors import MarginInputError
from keeper.margin.procyclicality import buffered_path


CHANCES = (1e-9, 1e-4, 0.01, 0.3, 0.5, 0.77, 0.99, 1 - 1e-6)


@pytest.mark.parametrize("chance", CHANCES)
def test_quantiles_are_scipys(chance: float) -> None:
    assert distributions.normal_quantile(chance) == pytest.approx(stats.norm.ppf(chance), abs=1e-12)
    for freedom in (2.1, 4.0, 30.0, 500.0):
        expected = stats.t.ppf(chance, freedom)
        assert distributions.student_quantile(chance, freedom) == pytest.approx(expected, rel=1e-8)
        assert distributions.student_cdf(expected, freedom) == pytest.approx(chance, rel=1e-8)
        assert distributions.student_density(expected, freedom) == pytest.approx(
            stats.t.pdf(expected, freedom), rel=1e-10
        )


def test_the_table_of_student_quantiles_is_close() -> None:
    chance = np.array(CHANCES)
    found = distributions.student_quantiles(chance, 4.0)
    assert found == pytest.approx(stats.t.ppf(chance, 4.0), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("x", "freedom"), [(0.0, 1), (3.8, 1), (40.0, 1), (5.9, 2)])
def test_chi_square_tails_are_scipys(x: float, freedom: int) -> None:
    got = distributions.chi_square_upper(x, freedom)
    assert got == pytest.approx(stats.chi2.sf(x, freedom), rel=1e-12)


def test_counted_draws_are_even_and_the_same_each_time() -> None:
    draws = distributions.counted_uniforms(7, 20_000)
    assert np.array_equal(draws, distributions.counted_uniforms(7, 20_000))
    assert not np.array_equal(draws, distributions.counted_uniforms(8, 20_000))
    assert ((draws > 0.0) & (draws < 1.0)).all()
    assert stats.kstest(draws, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.03


def test_component_shares_add_up_and_marginals_are_slopes() -> None:
    returns = distributions.counted_uniforms(3, 600).reshape(200, 3) - 0.48
    weights = np.array([1.0, -2.0, 0.5])
    found = var.component_gaussian(returns, weights, 0.95)
    assert found.component.sum() == pytest.approx(found.var)
    for asset in range(3):
        step = np.zeros(3)
        step[asset] = 1e-6
        up = var.component_gaussian(returns, weights + step, 0.95).var
        down = var.component_gaussian(returns, weights - step, 0.95).var
        assert found.marginal[asset] == pytest.approx((up - down) / 2e-6, rel=1e-6)


def test_cornish_fisher_of_a_normal_sample_is_nearly_gaussian() -> None:
    sample = distributions.normal_quantiles((np.arange(20_000) + 0.5) / 20_000)
    assert var.cornish_fisher(sample, 0.99) == pytest.approx(
        var.gaussian(sample, 0.99).var, rel=1e-2
    )
    assert var.cornish_fisher(np.full(5, 0.1), 0.99) == pytest.approx(-0.1)


def test_filtering_rescales_the_past_to_today() -> None:
    calm = np.tile([0.01, -0.01], 100)
    wild = np.concatenate((calm, 4.0 * calm))
    vols = np.concatenate((np.full(200, 0.01), np.full(201, 0.04)))
    found = var.filtered_historical(wild, vols, 0.95)
    assert found.var == pytest.approx(0.04)
    assert var.ewma_vols(wild, 0.94)[-1] == pytest.approx(0.04, rel=0.01)


def test_garch_is_an_extra_and_says_so() -> None:
    if importlib.util.find_spec("arch") is not None:
        vols = var.garch_vols(np.tile([0.01, -0.012, 0.02], 100))
        assert len(vols) == 301
        assert (vols > 0.0).all()
        return
    with pytest.raises(MarginInputError, match="arch"):
        var.garch_vols(np.zeros(60))


def test_delta_gamma_vega_is_the_second_order_expansion() -> None:
    moves = np.array([[1.0, -2.0], [0.0, 0.5]])
    vols = np.array([[0.1, 0.0], [0.0, -0.2]])
    gamma = np.array([[2.0, 0.5], [0.5, 1.0]])
    found = var.delta_gamma_vega(moves, vols, np.array([3.0, 4.0]), gamma, np.array([10.0, 5.0]))
    assert found == pytest.approx([3 - 8 + 0.5 * (2 - 2 + 4) + 1, 2 + 0.125 - 1])


def test_student_moves_have_their_tails_and_their_copula() -> None:
    draws = distributions.counted_uniforms(11, 40_000).reshape(-1, 2)
    matrix = np.array([[1.0, 0.6], [0.6, 1.0]])
    moves = var.student_moves(draws, matrix, np.array([0.02, 0.05]), np.array([5.0, 30.0]))
    for asset, (scale, nu) in enumerate(((0.02, 5.0), (0.05, 30.0))):
        closed = var.student_tail(scale, 0.99, nu)
        found = var.historical(moves[:, asset], 0.99)
        assert found.var == pytest.approx(closed.var, rel=0.05)
        assert found.es == pytest.approx(closed.es, rel=0.08)
    rank = stats.spearmanr(moves[:, 0], moves[:, 1]).statistic
    assert rank == pytest.approx(6 / np.pi * np.arcsin(0.3), abs=0.02)
    with pytest.raises(MarginInputError, match="pivot"):
        var.student_moves(draws, np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones(2), np.full(2, 5.0))


def test_transitions_are_counted_in_the_order_of_the_test() -> None:
    failed = np.array([0, 0, 1, 1, 0, 1, 0, 0])
    assert backtests.transitions(failed) == (2, 2, 2, 1)


def test_the_shortfall_test_is_near_zero_for_the_right_model_and_falls_for_a_thin_one() -> None:
    pnl = distributions.normal_quantiles(distributions.counted_uniforms(5, 20_000))
    right = var.normal_tail(1.0, 0.975)
    limits, beyond = np.full(len(pnl), right.var), np.full(len(pnl), right.es)
    assert backtests.shortfall_test(pnl, limits, beyond, 0.975) == pytest.approx(0.0, abs=0.1)
    thin = backtests.shortfall_test(1.5 * pnl, limits, beyond, 0.975)
    assert thin < backtests.ES_CRITICAL


def test_a_buffer_is_used_up_before_the_charge_rises() -> None:
    path = buffered_path(np.array([100.0, 110.0, 130.0, 120.0, 90.0]), 0.25)
    assert path == pytest.approx([125.0, 125.0, 130.0, 130.0, 112.5])
    assert (path >= [100.0, 110.0, 130.0, 120.0, 90.0]).all()
