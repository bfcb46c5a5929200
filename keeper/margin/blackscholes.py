"""Generalised Black-Scholes on spot with a carry, and the market's four delta conventions.

Everything is one call of the keeper's own Black-76: a spot option with carry is an option on the
forward. Sources: E. Haug, The Complete Guide to Option Pricing Formulas (1998); A. Castagna,
FX Options and Smile Risk (2010) for premium-adjusted deltas, which are those of coin-settled
(inverse) options. No market, no book.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from keeper.margin.book import Floats
from keeper.margin.errors import finite, not_negative, positive
from keeper.margin.normal import normal_cdf
from keeper.margin.pricing import YEAR_S, black76, black76_sensitivities


class DeltaConvention(StrEnum):
    """What an option's delta is quoted in; PA = the premium is paid in the coin itself."""

    SPOT = "Spot"
    FORWARD = "Fwd"
    PA_SPOT = "PaSpot"
    PA_FORWARD = "PaFwd"


@dataclass(frozen=True, slots=True)
class SpotOption:
    """One option: prices in money, rate and yield_ continuous a year, vol a year."""

    spot: float
    strike: float
    rate: float
    yield_: float
    years: float
    vol: float
    call: bool

    def __post_init__(self) -> None:
        positive("spot", self.spot)
        not_negative("strike", self.strike)
        finite("rate", self.rate)
        finite("yield", self.yield_)
        not_negative("years", self.years)
        not_negative("vol", self.vol)


@dataclass(frozen=True, slots=True)
class SpotGreeks:
    """Value and sensitivities: vega and rhos per 1.0, theta a year, spot unchanged."""

    price: float
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float
    dividend_rho: float
    elasticity: float


def spot_greeks(option: SpotOption) -> SpotGreeks:
    """Return value and closed-form Greeks; elasticity is 0.0 where the value is."""
    carry = math.exp((option.rate - option.yield_) * option.years)
    forward, discount = option.spot * carry, math.exp(-option.rate * option.years)
    seconds = option.years * YEAR_S
    call = np.array([option.call])
    one = _column
    price = float(
        black76(
            one(forward), one(option.strike), one(seconds), one(option.vol), one(discount), call
        )[0]
    )
    moves = black76_sensitivities(
        one(forward), one(option.strike), one(seconds), one(option.vol), one(option.rate), call
    )
    exposed = float(moves.delta[0]) * forward
    delta = float(moves.delta[0]) * carry
    return SpotGreeks(
        price=price,
        delta=delta,
        gamma=float(moves.gamma[0]) * carry * carry,
        vega=float(moves.vega[0]),
        theta=float(moves.theta[0]) - exposed * (option.rate - option.yield_),
        rho=option.years * (exposed - price),
        dividend_rho=-option.years * exposed,
        elasticity=delta * option.spot / price if price > 0.0 else 0.0,
    )


def quoted_delta(
    option: SpotOption, convention: DeltaConvention, foreign_discount: float | None = None
) -> float:
    """Return the delta under a convention; the foreign discount is exp(-yield x years)."""
    foreign = (
        math.exp(-option.yield_ * option.years)
        if foreign_discount is None
        else positive("foreign_discount", foreign_discount)
    )
    forward = option.spot * math.exp((option.rate - option.yield_) * option.years)
    deviation = positive("vol x sqrt(years)", option.vol * math.sqrt(option.years))
    positive("strike", option.strike)
    sign = 1.0 if option.call else -1.0
    d1 = math.log(forward / option.strike) / deviation + 0.5 * deviation
    chances = normal_cdf(np.array([sign * d1, sign * (d1 - deviation)]))
    scale = foreign if convention in (DeltaConvention.SPOT, DeltaConvention.PA_SPOT) else 1.0
    if convention in (DeltaConvention.SPOT, DeltaConvention.FORWARD):
        return sign * scale * float(chances[0])
    return sign * scale * option.strike / forward * float(chances[1])


def _column(value: float) -> Floats:
    return np.array([value])
