"""SVI smiles as published: raw total variance, and a surface between expiries.

Raw, without the chain's clamps (`keeper.margin.pricing.svi_vol` has those). Source: J. Gatheral,
"A parsimonious arbitrage-free implied volatility parameterization" (2004); expiries are joined
linearly in total variance at equal log-moneyness (Gatheral and Jacquier, 2014, 5.1), flat in vol
outside. Prices in USD, time in years.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from keeper.margin.errors import BadNumber, BadShape, finite, not_negative, positive, within


@dataclass(frozen=True, slots=True)
class RawSvi:
    """w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)) at one expiry."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float

    def __post_init__(self) -> None:
        finite("a", self.a)
        not_negative("b", self.b)
        within("rho", self.rho, -1.0, 1.0)
        finite("m", self.m)
        not_negative("sigma", self.sigma)

    def variance(self, moneyness: float) -> float:
        """Return total variance at k = ln(strike / forward)."""
        offset = finite("k", moneyness) - self.m
        wing = self.rho * offset + math.hypot(offset, self.sigma)
        total = self.a + self.b * wing
        if total < 0.0:
            raise BadNumber("total_variance", total, "fit a smile whose variance is not negative")
        return total


def log_moneyness(strike: float, forward: float) -> float:
    """Return ln(strike / forward)."""
    return math.log(positive("strike", strike) / positive("forward", forward))


def surface_vol(smiles: tuple[tuple[float, RawSvi], ...], moneyness: float, years: float) -> float:
    """Return the volatility a year; smiles = (years, smile) in rising order of years."""
    if not smiles or any(a >= b for (a, _), (b, _) in pairwise(smiles)):
        raise BadShape("smiles", len(smiles), "pass at least one, in rising order of years")
    asked = positive("years", years)
    first, last = smiles[0], smiles[-1]
    for edge, beyond in ((first, asked <= first[0]), (last, asked >= last[0])):
        if beyond:
            return math.sqrt(edge[1].variance(moneyness) / positive("years", edge[0]))
    upper = next(row for row, (date, _) in enumerate(smiles) if date > asked)
    (start, low), (end, high) = smiles[upper - 1], smiles[upper]
    share = (asked - start) / (end - start)
    total = (1.0 - share) * low.variance(moneyness) + share * high.variance(moneyness)
    return math.sqrt(total / asked)
