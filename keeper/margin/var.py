"""Value at risk and expected shortfall of returns or of scenario P&L.

Signs: gains are positive going in; every result is a positive LOSS. `confidence` is 0.95, not
0.05. Sources: RiskMetrics (1996) for EWMA; G. Barone-Adesi et al. (1999) for filtered historical
simulation; the PerformanceAnalytics estimators for Cornish-Fisher and component VaR; J. Hull,
Options, Futures and Other Derivatives, for delta-normal. Returns are data: no clock, no chance.
"""

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from keeper.margin.book import Floats
from keeper.margin.distributions import (
    normal_quantile,
    normal_quantiles,
    student_density,
    student_quantile,
    student_quantiles,
)
from keeper.margin.errors import (
    BadShape,
    MarginInputError,
    between,
    finite,
    finite_array,
    not_negative,
    positive,
    same_length,
)
from keeper.margin.normal import normal_cdf, normal_density


@dataclass(frozen=True, slots=True)
class Tail:
    """A value at risk and the expected shortfall beyond it, both positive losses."""

    var: float
    es: float


@dataclass(frozen=True, slots=True)
class ComponentVar:
    """A portfolio's VaR, what one more unit of each weight adds, and what each weight bears.

    The components add up to `var`.
    """

    var: float
    marginal: Floats
    component: Floats


def historical(returns: Floats, confidence: float) -> Tail:
    """Return the empirical tail: R's type 7 quantile, and the mean of returns at or below it."""
    sample, alpha = _sample(returns, confidence)
    quantile = float(np.quantile(sample, alpha))
    return Tail(-quantile, -float(sample[sample <= quantile].mean()))


def gaussian(returns: Floats, confidence: float) -> Tail:
    """Return the normal tail with the population's mean and standard deviation."""
    sample, alpha = _sample(returns, confidence)
    mean, deviation = float(sample.mean()), float(sample.std())
    z = normal_quantile(alpha)
    bell = float(normal_density(np.array([z]))[0])
    return Tail(-(mean + z * deviation), -(mean - deviation * bell / alpha))


def cornish_fisher(returns: Floats, confidence: float) -> float:
    """Return VaR with the quantile corrected for population skewness and excess kurtosis."""
    sample, alpha = _sample(returns, confidence)
    mean, deviation = float(sample.mean()), float(sample.std())
    if deviation == 0.0:
        return -mean
    scaled = (sample - mean) / deviation
    skew, kurtosis = float((scaled**3).mean()), float((scaled**4).mean()) - 3.0
    z = normal_quantile(alpha)
    tilted = z + (z * z - 1.0) * skew / 6.0 + (z**3 - 3.0 * z) * kurtosis / 24.0
    tilted -= (2.0 * z**3 - 5.0 * z) * skew * skew / 36.0
    return -(mean + tilted * deviation)


def component_gaussian(returns: Floats, weights: Floats, confidence: float) -> ComponentVar:
    """Return normal VaR of a weighted book, (observation, asset) and (asset,).

    With the sample covariance (divided by count less one), as the source has it.
    """
    sample, alpha = _sample(returns, confidence)
    held = finite_array("weights", weights, 1)
    if sample.ndim != 2 or sample.shape[1] != len(held):
        raise BadShape("returns", sample.shape, "pass one column for each weight")
    mean = sample.mean(axis=0)
    centred = sample - mean
    joint = (centred[:, :, None] * centred[:, None, :]).sum(axis=0) / (len(sample) - 1)
    slope = (joint * held).sum(axis=1)
    deviation = math.sqrt(max(float((held * slope).sum()), 0.0))
    z = normal_quantile(alpha)
    tilt = slope / deviation if deviation > 0.0 else np.zeros_like(slope)
    marginal = -(mean + z * tilt)
    return ComponentVar(float((held * marginal).sum()), marginal, held * marginal)


def horizon_deviation(position: float, daily_vol: float, days: float) -> float:
    """Return a position's standard deviation over days; delta-normal VaR is z times it."""
    held = abs(finite("position", position)) * not_negative("daily_vol", daily_vol)
    return held * math.sqrt(positive("days", days))


def joint_deviation(deviations: Floats, correlation: float) -> float:
    """Return the deviation of a sum whose parts share one correlation."""
    parts = finite_array("deviations", deviations, 1)
    rho = finite_array("correlation", [correlation])[0]
    squares = float((parts * parts).sum())
    total = float(parts.sum())
    return math.sqrt(max(squares + float(rho) * (total * total - squares), 0.0))


def normal_tail(deviation: float, confidence: float) -> Tail:
    """Return the closed form for a normal P&L of zero mean."""
    alpha = 1.0 - between("confidence", confidence, 0.0, 1.0)
    scale, z = not_negative("deviation", deviation), normal_quantile(confidence)
    return Tail(scale * z, scale * float(normal_density(np.array([z]))[0]) / alpha)


def student_tail(deviation: float, confidence: float, freedom: float) -> Tail:
    """Return the closed form for a Student-t P&L of zero mean, scaled to this deviation."""
    alpha = 1.0 - between("confidence", confidence, 0.0, 1.0)
    nu = between("freedom", freedom, 2.0, math.inf)
    scale = not_negative("deviation", deviation) * math.sqrt((nu - 2.0) / nu)
    t = student_quantile(confidence, nu)
    bell = student_density(t, nu) / alpha
    return Tail(scale * t, scale * bell * (nu + t * t) / (nu - 1.0))


def ewma_vols(returns: Floats, decay: float) -> Floats:
    """Return RiskMetrics deviations, (observation + 1,): [t] is known before return t."""
    sample = finite_array("returns", returns, 2)
    keep = between("decay", decay, 0.0, 1.0)
    variance = np.empty(len(sample) + 1)
    variance[0] = float((sample * sample).mean())
    for row, value in enumerate(sample):
        variance[row + 1] = keep * variance[row] + (1.0 - keep) * float(value) ** 2
    return np.sqrt(variance)


def filtered_historical(returns: Floats, vols: Floats, confidence: float) -> Tail:
    """Return the tail of returns rescaled from their own day's vol to the last one.

    vols  (observation + 1,), from `ewma_vols` or `garch_vols`; all above zero
    """
    sample, _ = _sample(returns, confidence)
    scale = finite_array("vols", vols, 3)
    same_length("returns and vols[:-1]", sample, scale[:-1])
    positive("least of vols", float(scale.min()))
    return historical(sample / scale[:-1] * scale[-1], confidence)


def garch_vols(returns: Floats) -> Floats:
    """Return GARCH(1,1) deviations like `ewma_vols`; needs the `arch` package, loaded here only.

    The estimate is arch's own (normal likelihood, zero mean, returns in per cent).
    """
    sample = finite_array("returns", returns, 50) * 100.0
    try:
        arch: Any = import_module("arch")
    except ModuleNotFoundError as error:
        raise MarginInputError(
            "method", "garch", "install the `arch` extra, or use ewma_vols"
        ) from error
    fitted = arch.arch_model(sample, mean="Zero", vol="GARCH", p=1, q=1).fit(disp="off")
    ahead = fitted.forecast(horizon=1, reindex=False).variance.to_numpy()[-1, 0]
    fitted_vols = np.asarray(fitted.conditional_volatility, np.float64)
    return np.append(fitted_vols, math.sqrt(float(ahead))) / 100.0


def delta_gamma_vega(
    moves: Floats, vol_moves: Floats, delta: Floats, gamma: Floats, vega: Floats
) -> Floats:
    """Return the second-order P&L of each scenario, (scenario,).

    moves, vol_moves  (scenario, underlying), money and vol points
    delta, vega       (underlying,); gamma (underlying, underlying), symmetric
    """
    step = finite_array("moves", moves, 1)
    vol_step = finite_array("vol_moves", vol_moves, 1)
    same_length("moves and vol_moves", step, vol_step)
    bend = (step[:, :, None] * finite_array("gamma", gamma, 1) * step[:, None, :]).sum(axis=(1, 2))
    slope = (step * finite_array("delta", delta, 1)).sum(axis=1)
    drift: Floats = (vol_step * finite_array("vega", vega, 1)).sum(axis=1)
    pnl: Floats = slope + 0.5 * bend + drift
    return pnl


def student_moves(
    uniforms: Floats, correlation: Floats, deviations: Floats, freedom: Floats
) -> Floats:
    """Return joint moves with a Gaussian copula and Student-t marginals, (draw, asset).

    uniforms    (draw, asset) strictly between 0 and 1: draws are data, see `counted_uniforms`
    freedom     (asset,) above 2; each marginal is scaled to its deviation
    """
    lower = _cholesky(finite_array("correlation", correlation, 1))
    scale, nu = finite_array("deviations", deviations, 1), finite_array("freedom", freedom, 1)
    same_length("correlation, deviations, freedom", lower, scale, nu)
    free = normal_quantiles(np.asarray(uniforms, np.float64))
    tied = (free[:, None, :] * lower[None, :, :]).sum(axis=2)
    chances = np.clip(normal_cdf(tied), 1e-12, 1.0 - 1e-12)
    moves: Floats = np.empty_like(tied)
    for asset, each in enumerate(nu):
        between(f"freedom[{asset}]", each, 2.0, math.inf)
        unit = student_quantiles(chances[:, asset], float(each))
        moves[:, asset] = unit * scale[asset] * math.sqrt((each - 2.0) / each)
    return moves


def _cholesky(matrix: Floats) -> Floats:
    """Return the lower root of a correlation matrix, by rows: LAPACK's bits depend on machines."""
    size = len(matrix)
    if matrix.shape != (size, size) or not np.array_equal(matrix, matrix.T):
        raise BadShape("correlation", matrix.shape, "pass a symmetric square matrix")
    lower = np.zeros_like(matrix)
    for row in range(size):
        for column in range(row + 1):
            rest = float(matrix[row, column] - (lower[row, :column] * lower[column, :column]).sum())
            if row == column:
                lower[row, row] = math.sqrt(positive("correlation's pivot", rest))
            else:
                lower[row, column] = rest / lower[column, column]
    return lower


def _sample(returns: Floats, confidence: float) -> tuple[Floats, float]:
    return finite_array("returns", returns, 2), 1.0 - between("confidence", confidence, 0.0, 1.0)
