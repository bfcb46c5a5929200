"""Option values on arrays: Black-76 with its closed-form sensitivities, and the SVI volatility.

Elementwise over broadcast arrays; who holds what, and which shocks apply, is not known here.
Sources: F. Black, "The pricing of commodity contracts", J. Financial Economics 3 (1976);
J. Gatheral, "A parsimonious arbitrage-free implied volatility parameterization" (2004).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.margin.book import Flags, Floats
from keeper.margin.normal import normal_cdf, normal_density


YEAR_S: Final = 31_536_000.0
VOL_CEILING: Final = 24.0  # total volatility from which a call is worth the whole forward
VOL_FLOOR: Final = 1e-18  # stands in for zero, so that the value becomes intrinsic
SVI_VARIANCE_MAX: Final = 144.0


@dataclass(frozen=True, slots=True)
class Sensitivities:
    """How one unit's value moves; every field has the broadcast shape.

    delta  USD per USD of forward
    gamma  the same per USD of forward squared
    vega   USD per 1.0 of volatility
    theta  USD per year that passes, forward and volatility unchanged
    """

    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats


@dataclass(frozen=True, slots=True)
class Svi:
    """One expiry's smile: total variance over log-moneyness against a fixed reference.

    `forward` (USD) and `tau` (years) are data of the fit, so the smile stays at its strikes
    until the next one is posted.
    """

    a: float
    b: float
    rho: float
    m: float
    sigma: float
    forward: float
    tau: float


def black76(  # the arguments are the formula's
    forward: Floats, strike: Floats, seconds: Floats, vol: Floats, discount: Floats, call: Flags
) -> Floats:
    """Return option values in USD, the broadcast shape of the arguments.

    forward, strike in USD, both >= 0; seconds left; vol a year; discount = exp(-rate x years);
    call True for a call, False for a put. A zero strike, zero forward, zero time and a total
    volatility of 24 or more have their limits. NaN in, NaN out.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = strike / forward
        total = _total_vol(seconds, vol)
        d1 = 0.5 * total - np.log(ratio) / total
        share = np.maximum(normal_cdf(d1) - ratio * normal_cdf(d1 - total), 0.0)
        share = np.where(total >= VOL_CEILING, 1.0, share)
        present, present_strike = forward * discount, strike * discount
        call_value = np.minimum(share, 1.0) * present
        put_value = np.minimum(np.maximum(share + ratio - 1.0, 0.0) * present, present_strike)
    value = np.where(call, call_value, put_value)
    worthless = forward == 0.0  # the ratio has no value there; a zero strike needs no care
    if np.any(worthless):
        value = np.where(worthless, np.where(call, 0.0, present_strike), value)
    return value


def black76_sensitivities(
    forward: Floats, strike: Floats, seconds: Floats, vol: Floats, rate: Floats, call: Flags
) -> Sensitivities:
    """Return closed-form sensitivities; arguments as `black76`, `rate` a year.

    At zero time, zero volatility and the other limits only delta and the drift of the discount
    remain.
    """
    years = seconds / YEAR_S
    discount = np.exp(-rate * years)
    value = black76(forward, strike, seconds, vol, discount, call)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        total = _total_vol(seconds, vol)
        d1 = 0.5 * total - np.log(strike / forward) / total
        live = (forward > 0.0) & (strike > 0.0) & (total > VOL_FLOOR) & (total < VOL_CEILING)
        bell = np.where(live, normal_density(d1), 0.0)
        root = np.sqrt(years)
        upside = np.where(total >= VOL_CEILING, 1.0, normal_cdf(d1))
        upside = np.where(forward > 0.0, upside, 0.0)
        # A put at the ceiling is worth its strike, whatever the forward: call less forward.
        delta = discount * np.where(call, upside, upside - 1.0)
        gamma = np.where(live, discount * bell / (forward * total), 0.0)
        decay = np.where(live, forward * discount * bell * vol / (2.0 * root), 0.0)
    vega = forward * discount * bell * root
    return Sensitivities(delta, gamma, vega, rate * value - decay)


def svi_vol(smile: Svi, strike: Floats) -> Floats:
    """Return the implied volatility a year at each strike (USD); 0.0 at strike zero.

    NaN where a variance is negative, and no finite number where the reference forward or time
    is zero: the chain refuses to answer there.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = 4.0 * np.sqrt(np.float64(smile.a + smile.b * smile.sigma))
        ratio = strike / smile.forward
        # Below one wei the ratio is zero on chain, and its logarithm is taken as the bound.
        moneyness = np.where(ratio < VOL_FLOOR, -bound, np.log(ratio))
        offset = np.clip(moneyness, -bound, bound) - smile.m
        wing = smile.rho * offset + np.sqrt(offset * offset + smile.sigma * smile.sigma)
        variance = np.minimum(smile.a + smile.b * wing, SVI_VARIANCE_MAX)
        vol = np.sqrt(variance / smile.tau)
    return np.where(strike == 0.0, 0.0, vol)


def _total_vol(seconds: Floats, vol: Floats) -> Floats:
    """Return vol x sqrt(years), never zero: one wei stands in, which prices the intrinsic."""
    return np.maximum(vol * np.sqrt(seconds / YEAR_S), VOL_FLOOR)
