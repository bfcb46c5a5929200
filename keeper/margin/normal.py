"""The normal distribution on arrays: density and cumulative, accurate in both tails.

numpy has no erf and scipy is not needed to run the keeper, so W. J. Cody's rational Chebyshev
approximations are evaluated here ("Rational Chebyshev approximations for the error function",
Math. Comp. 23 (1969) 631-637: three intervals of y = |x| / sqrt 2). The relative error stays
below 1e-14 wherever the result is a normal number. Knows nothing of options or of money.
"""

import math
from typing import Final

import numpy as np

from keeper.margin.book import Floats


NEAR: Final = 0.46875  # Cody's first boundary, in y
FAR: Final = 4.0  # and the second
REACH: Final = 40.0  # beyond this |x| the tail is below the smallest float64
SPLIT: Final = 134217729.0  # 2^27 + 1, Dekker's splitting constant

# Coefficients from the highest power down. erf(y) = y * NEAR_P(y^2) / NEAR_Q(y^2).
NEAR_P: Final = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
NEAR_Q: Final = (
    1.0,
    2.36012909523441209e1,
    2.44024637934444173e2,
    1.28261652607737228e3,
    2.84423683343917062e3,
)
# erfc(y) = exp(-y^2) * MID_P(y) / MID_Q(y).
MID_P: Final = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
MID_Q: Final = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573346963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)
# erfc(y) = exp(-y^2) / y * (1/sqrt(pi) - FAR_P(r) / FAR_Q(r) * r), r = 1/y^2.
FAR_P: Final = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
FAR_Q: Final = (
    1.0,
    2.56852019228982242e0,
    1.87295284992346725e0,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)


def normal_cdf(x: Floats) -> Floats:
    """Return the chance that a standard normal is at most `x`, any shape; NaN stays NaN."""
    distance = np.minimum(np.abs(x), REACH)
    bell = _exp_half_square(distance)
    y = distance * math.sqrt(0.5)
    tail = 0.5 * bell * _polynomial(MID_P, y) / _polynomial(MID_Q, y)
    far = y > FAR
    if far.any():
        tail[far] = _far_tail(y[far], bell[far])
    result = np.where(x > 0.0, 1.0 - tail, tail)
    near = y <= NEAR
    if near.any():
        result[near] = _centre(x[near] * math.sqrt(0.5))
    return result


def normal_density(x: Floats) -> Floats:
    """Return the standard normal density at `x`, any shape."""
    return np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _centre(y: Floats) -> Floats:
    """Return the cumulative near zero, where the tail form would cancel; y is signed."""
    square = y * y
    return 0.5 + 0.5 * y * _polynomial(NEAR_P, square) / _polynomial(NEAR_Q, square)


def _far_tail(y: Floats, bell: Floats) -> Floats:
    inverse = 1.0 / (y * y)
    series = inverse * _polynomial(FAR_P, inverse) / _polynomial(FAR_Q, inverse)
    return 0.5 * bell * (1.0 / math.sqrt(math.pi) - series) / y


def _exp_half_square(x: Floats) -> Floats:
    """Return exp(-x^2/2) with the rounding error of x^2 put back (T. J. Dekker's product).

    Without it the tail at x = 37 would be off by 1e-13 of itself.
    """
    scaled = SPLIT * x
    high = scaled - (scaled - x)
    low = x - high
    square = x * x
    lost = ((high * high - square) + 2.0 * high * low) + low * low
    return np.exp(-0.5 * square) * (1.0 - 0.5 * lost)


def _polynomial(coefficients: tuple[float, ...], x: Floats) -> Floats:
    """Return the polynomial by Horner's rule, the highest power first."""
    total = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        total *= x
        total += coefficient
    return total
