"""Black-76 and SVI: limits, parity, sensitivities, and equality with the scalar reference."""

import math

import numpy as np
import pytest

from keeper.margin.pricing import Svi, black76, black76_sensitivities, svi_vol
from tests.reference import pmrm2_scalar as scalar


DAY = 86_400.0


def price(
    forward: float, strike: float, seconds: float, vol: float, discount: float, call: bool
) -> float:
    columns = [np.array([float(x)]) for x in (forward, strike, seconds, vol, discount)]
    return float(black76(*columns, np.array([call]))[0])


@pytest.mark.parametrize(
    ("forward", "strike", "seconds", "vol", "call", "expected"),
    [
        (2000, 0, 9 * DAY, 0.6, True, 2000 * 0.9),  # zero strike: the forward, whole
        (2000, 0, 9 * DAY, 0.6, False, 0.0),
        (0, 1500, 9 * DAY, 0.6, True, 0.0),  # zero forward: the strike, whole
        (0, 1500, 9 * DAY, 0.6, False, 1500 * 0.9),
        (0, 0, 9 * DAY, 0.6, True, 0.0),
        (0, 0, 9 * DAY, 0.6, False, 0.0),
        (2000, 1500, 0, 0.6, True, 500 * 0.9),  # zero time: intrinsic
        (2000, 2500, 0, 0.6, True, 0.0),
        (2000, 2500, 0, 0.6, False, 500 * 0.9),
        (2000, 2000, 0, 0.6, True, 0.0),
        (2000, 2500, 9 * DAY, 0.0, False, 500 * 0.9),  # zero volatility: intrinsic
        (2000, 1500, 365 * DAY, 24.0, True, 2000 * 0.9),  # from 24 on: forward and strike
        (2000, 1500, 365 * DAY, 24.0, False, 1500 * 0.9),
        (2000, 1500, 365 * DAY, 900.0, True, 2000 * 0.9),
    ],
)
def test_limits_have_their_value(
    forward: float, strike: float, seconds: float, vol: float, call: bool, expected: float
) -> None:
    assert price(forward, strike, seconds, vol, 0.9, call) == pytest.approx(expected, abs=1e-12)


def test_equals_the_scalar_reference_on_a_wide_grid() -> None:
    rng = np.random.default_rng(7)
    n = 5000
    forward = np.exp(rng.uniform(-3, 12, n))
    strike = forward * np.exp(rng.normal(0, 1.5, n))
    seconds, vol = np.exp(rng.uniform(0, 18, n)), np.exp(rng.uniform(-5, 2, n))
    discount, call = rng.uniform(0.5, 1.0, n), rng.random(n) < 0.5
    got = black76(forward, strike, seconds, vol, discount, call)
    rows = zip(forward, strike, seconds, vol, discount, call, strict=True)
    expected = np.array([scalar.black76(*map(float, row[:5]), bool(row[5])) for row in rows])
    assert (np.abs(got - expected) <= 1e-14 * np.maximum(1.0, forward + strike)).all()


def test_call_less_put_is_the_discounted_forward_less_strike() -> None:
    strike = np.linspace(500.0, 5000.0, 200)
    forward, seconds = np.full(200, 2000.0), np.full(200, 90 * DAY)
    args = (forward, strike, seconds, np.full(200, 0.7), np.full(200, 0.98))
    calls, puts = (black76(*args, np.full(200, flag)) for flag in (True, False))
    assert np.allclose(calls - puts, 0.98 * (forward - strike), rtol=0.0, atol=1e-10)


def test_nan_goes_in_and_comes_out() -> None:
    for index in range(5):
        row = [2000.0, 1900.0, 9 * DAY, 0.6, 0.99]
        row[index] = math.nan
        assert math.isnan(price(*row, True))


def test_sensitivities_are_the_slopes_of_the_price() -> None:
    rng = np.random.default_rng(3)
    n = 400
    forward, strike = rng.uniform(1500, 2500, n), rng.uniform(1500, 2500, n)
    seconds, vol = rng.uniform(2, 400, n) * DAY, rng.uniform(0.3, 1.5, n)
    rate, call = rng.uniform(0, 0.2, n), rng.random(n) < 0.5
    year = 365 * DAY

    def value(f: np.ndarray, s: np.ndarray, v: np.ndarray) -> np.ndarray:
        return black76(f, strike, s, v, np.exp(-rate * s / year), call)

    got = black76_sensitivities(forward, strike, seconds, vol, rate, call)
    up, down = value(forward + 0.5, seconds, vol), value(forward - 0.5, seconds, vol)
    middle = value(forward, seconds, vol)
    assert np.allclose(got.delta, up - down, atol=1e-5)
    assert np.allclose(got.gamma, (up - 2 * middle + down) / 0.25, atol=1e-5)
    slope = (value(forward, seconds, vol + 1e-4) - value(forward, seconds, vol - 1e-4)) / 2e-4
    assert np.allclose(got.vega, slope, rtol=1e-5, atol=1e-4)
    later = (value(forward, seconds - 60, vol) - value(forward, seconds + 60, vol)) / (120 / year)
    assert np.allclose(got.theta, later, rtol=1e-4, atol=1e-2)


def test_sensitivities_are_finite_in_every_limit() -> None:
    rows = [
        (forward, strike, seconds, vol)
        for forward in (0.0, 2000.0)
        for strike in (0.0, 2000.0, 2500.0)
        for seconds in (0.0, 9 * DAY)
        for vol in (0.0, 0.6, 500.0)
    ]
    forward, strike, seconds, vol = np.array(rows).T
    for flag in (True, False):
        call, rate = np.full(len(rows), flag), np.full(len(rows), 0.1)
        got = black76_sensitivities(forward, strike, seconds, vol, rate, call)
        for column in (got.delta, got.gamma, got.vega, got.theta):
            assert np.isfinite(column).all()


def test_svi_equals_the_scalar_reference_and_stops_at_its_bound() -> None:
    smile = (0.0021, 0.0416, -0.29, -0.026, 0.0626, 95_776.0, 0.0252)
    strike = np.array([0.0, 1e-14, 1.0, 50_000.0, 95_776.0, 150_000.0, 1e12])
    got = svi_vol(Svi(*smile), strike)
    assert got == pytest.approx([scalar.svi_vol(float(k), smile) for k in strike], rel=1e-14)
    assert got[1] == got[2]  # both lie beyond the bound
    assert got[0] == 0.0


@pytest.mark.parametrize("sigma", [0.19, 0.2])
def test_svi_of_negative_variance_is_no_number(sigma: float) -> None:
    # The first has no bound at all, the second has one and a trough below zero at rho = 0.9.
    smile = Svi(-0.02, 0.1, 0.9, 0.0, sigma, 2000.0, 0.1)
    assert np.isnan(svi_vol(smile, np.array([1998.0]))).all()


def test_svi_without_a_reference_is_no_finite_number() -> None:
    for smile in (Svi(0.1, 0.1, 0.0, 0.0, 0.2, 0.0, 0.1), Svi(0.1, 0.1, 0.0, 0.0, 0.2, 2e3, 0.0)):
        got = svi_vol(smile, np.array([2000.0]))
        assert not np.isfinite(got).any() or smile.forward == 0.0
