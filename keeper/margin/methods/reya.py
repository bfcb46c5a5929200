"""Reya: a quadratic form of exposures.

Exact formula, no published number. Source: Reya network docs, margin engine: liquidation margin
= sqrt(E' A E), maintenance and initial are multiples of it.
"""

import math

from keeper.margin.book import Floats
from keeper.margin.errors import BadShape, finite, finite_array, not_negative, positive


def exposure(units: float, price: float) -> float:
    """Return a signed exposure in USD."""
    return finite("units", units) * positive("price", price)


def liquidation_margin(exposures: Floats, matrix: Floats) -> float:
    """Return sqrt(E' A E); E (market,) signed USD, A (market, market) symmetric."""
    held, risk = finite_array("E", exposures, 1), finite_array("A", matrix, 1)
    if risk.shape != (len(held), len(held)):
        raise BadShape("A", risk.shape, f"pass a square matrix of {len(held)}")
    square = float((held[:, None] * risk * held).sum())
    return math.sqrt(not_negative("E'AE", square))
