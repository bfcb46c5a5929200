"""The normal cumulative against scipy and against fifty digits in the tail."""

from decimal import Decimal, localcontext

import numpy as np
from scipy.special import ndtr

from keeper.margin.normal import normal_cdf, normal_density


PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def exact_tail(x: float) -> Decimal:
    """Return the chance beyond x by its continued fraction, in fifty digits."""
    with localcontext() as context:
        context.prec = 50
        z = Decimal(x)
        fraction = z
        for k in range(3000, 0, -1):
            fraction = z + Decimal(k) / fraction
        return (-z * z / 2).exp() / fraction / (2 * PI).sqrt()


def test_cumulative_equals_scipy_to_1e_14_absolute_everywhere() -> None:
    x = np.concatenate([np.linspace(-40.0, 40.0, 400_001), np.linspace(-1.0, 1.0, 50_001)])
    assert np.abs(normal_cdf(x) - ndtr(x)).max() <= 1e-14


def test_cumulative_equals_scipy_to_1e_14_relative_where_scipy_is_that_exact() -> None:
    x = np.linspace(-7.0, 40.0, 400_001)
    assert np.abs(normal_cdf(x) / ndtr(x) - 1.0).max() <= 1e-14


def test_far_tail_is_relatively_exact_where_scipy_is_not() -> None:
    for x in (2.5, 5.6, 5.7, 9.1, 17.3, 25.7, 36.9):
        got, expected = Decimal(float(normal_cdf(np.array([-x]))[0])), exact_tail(x)
        assert abs(got / expected - 1) < Decimal("2e-15")


def test_limits_are_exact_and_nan_stays_nan() -> None:
    x = np.array([np.inf, -np.inf, 1e300, -1e300, 0.0, -0.0])
    assert normal_cdf(x).tolist() == [1.0, 0.0, 1.0, 0.0, 0.5, 0.5]
    assert np.isnan(normal_cdf(np.array([np.nan]))).all()


def test_value_does_not_depend_on_its_neighbours() -> None:
    x = np.linspace(-12.0, 12.0, 1001)
    alone = np.array([normal_cdf(x[i : i + 1])[0] for i in range(len(x))])
    assert (normal_cdf(x) == alone).all()
    assert (normal_cdf(x.reshape(7, 143)).ravel() == alone).all()


def test_density_is_the_slope_of_the_cumulative() -> None:
    x, step = np.linspace(-5.0, 5.0, 101), 1e-6
    slope = (normal_cdf(x + step) - normal_cdf(x - step)) / (2.0 * step)
    assert np.allclose(normal_density(x), slope, rtol=0.0, atol=1e-9)
