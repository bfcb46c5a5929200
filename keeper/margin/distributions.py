"""Quantiles and tails that numpy does not have: normal, Student-t, chi-square, and counted draws.

scipy is a tool of the tests only. Sources: M. J. Wichura, Algorithm AS 241 (1988) for the idea of
a refined rational start, here P. J. Acklam's coefficients with Halley steps; the incomplete beta
function by Lentz's continued fraction (Abramowitz and Stegun 26.5.8, 26.7.1 for Student-t);
G. L. Steele et al., SplitMix (2014) for the counter-based integers. Draws are data: a seed and a
counter give the same numbers on every machine.
"""

import math
from typing import Final

import numpy as np

from keeper.margin.book import Floats
from keeper.margin.errors import BadNumber, between, positive
from keeper.margin.normal import normal_cdf, normal_density


CENTRE_A: Final = (
    -3.969683028665376e1,
    2.209460984245205e2,
    -2.759285104469687e2,
    1.383577518672690e2,
    -3.066479806614716e1,
    2.506628277459239e0,
)
CENTRE_B: Final = (
    -5.447609879822406e1,
    1.615858368580409e2,
    -1.556989798598866e2,
    6.680131188771972e1,
    -1.328068155288572e1,
    1.0,
)
TAIL_C: Final = (
    -7.784894002430293e-3,
    -3.223964580411365e-1,
    -2.400758277161838e0,
    -2.549732539343734e0,
    4.374664141464968e0,
    2.938163982698783e0,
)
TAIL_D: Final = (
    7.784695709041462e-3,
    3.224671290700398e-1,
    2.445134137142996e0,
    3.754408661907416e0,
    1.0,
)
TAIL: Final = 0.02425  # Acklam's boundary between centre and tail
FRACTION_STEPS: Final = 400
BISECTIONS: Final = 200
TABLE_POINTS: Final = 8001  # of the Student-t quantile table, evenly spaced in asinh


def normal_quantiles(chance: Floats) -> Floats:
    """Return where a standard normal's cumulative is `chance`, each strictly between 0 and 1."""
    lower = np.minimum(chance, 1.0 - chance)
    if not ((lower > 0.0) & (lower <= 0.5)).all():
        raise BadNumber("chance", chance, "pass numbers above 0 and below 1")
    root = np.sqrt(-2.0 * np.log(lower))
    tail = np.polyval(TAIL_C, root) / np.polyval(TAIL_D, root)
    offset = lower - 0.5
    square = offset * offset
    centre = offset * np.polyval(CENTRE_A, square) / np.polyval(CENTRE_B, square)
    x = np.where(lower < TAIL, tail, centre)
    for _ in range(2):
        step = (normal_cdf(x) - lower) / normal_density(x)
        x = x - step / (1.0 + 0.5 * x * step)
    return np.where(chance <= 0.5, x, -x)


def normal_quantile(chance: float) -> float:
    """Return one quantile of the standard normal."""
    return float(normal_quantiles(np.array([between("chance", chance, 0.0, 1.0)]))[0])


def student_density(x: float, freedom: float) -> float:
    """Return the density of Student's t with `freedom` degrees of freedom."""
    positive("freedom", freedom)
    half = 0.5 * (freedom + 1.0)
    scale = math.lgamma(half) - math.lgamma(0.5 * freedom) - 0.5 * math.log(freedom * math.pi)
    return math.exp(scale - half * math.log1p(x * x / freedom))


def student_cdf(x: float, freedom: float) -> float:
    """Return the chance that Student's t is at most `x`."""
    positive("freedom", freedom)
    tail = 0.5 * _incomplete_beta(freedom / (freedom + x * x), 0.5 * freedom, 0.5)
    return 1.0 - tail if x > 0.0 else tail


def student_quantile(chance: float, freedom: float) -> float:
    """Return where the cumulative of Student's t is `chance`, by bisection to the last bits."""
    lower = min(between("chance", chance, 0.0, 1.0), 1.0 - chance)
    low, high = -1.0, 0.0
    while student_cdf(low, freedom) > lower:
        low, high = 2.0 * low, low
        if low < -1e300:
            raise BadNumber("chance", chance, "too far in the tail for these degrees of freedom")
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if student_cdf(middle, freedom) > lower:
            high = middle
        else:
            low = middle
    return low if chance <= 0.5 else -low


def student_quantiles(chance: Floats, freedom: float) -> Floats:
    """Return many quantiles from a table; off by less than 1e-3 of itself in the tails."""
    least = float(np.minimum(chance, 1.0 - chance).min(initial=0.5))
    reach = -student_quantile(max(least, 1e-12) * 0.5, freedom)
    bend = np.linspace(-math.asinh(reach), math.asinh(reach), TABLE_POINTS)
    x = np.sinh(bend)
    below = np.array([student_cdf(float(each), freedom) for each in x[: TABLE_POINTS // 2 + 1]])
    lower = np.minimum(chance, 1.0 - chance)
    found = np.interp(np.log(lower), np.log(below), x[: TABLE_POINTS // 2 + 1])
    return np.where(chance <= 0.5, found, -found)


def chi_square_upper(statistic: float, freedom: int) -> float:
    """Return the upper tail of chi-square with one or two degrees of freedom."""
    x = max(statistic, 0.0)
    if freedom == 1:
        return math.erfc(math.sqrt(0.5 * x))
    if freedom == 2:
        return math.exp(-0.5 * x)
    raise BadNumber("freedom", freedom, "pass 1 or 2")


def counted_uniforms(seed: int, count: int) -> Floats:
    """Return `count` numbers strictly between 0 and 1: SplitMix64 of seed and counter."""
    with np.errstate(over="ignore"):
        state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state += np.uint64(seed & (2**64 - 1))
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(1.0 - x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(scale + a * math.log(x) + b * math.log1p(-x)) / a
    c, d, fraction = 1.0, 0.0, 1.0
    for step in range(FRACTION_STEPS):
        m = step // 2
        if step == 0:
            numerator = 1.0
        elif step % 2 == 0:
            numerator = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        else:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d = 1.0 / _away_from_zero(1.0 + numerator * d)
        c = _away_from_zero(1.0 + numerator / c)
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-16:
            break
    return front * (fraction - 1.0)


def _away_from_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
