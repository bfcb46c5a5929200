"""A small market of every kind of instrument, and books on it, for tests of methods."""

from dataclasses import replace
from typing import Any

import numpy as np

from keeper.margin.book import Book, Kind, Listing, Market


DAY = 86_400.0
# Call 100, put 90 near; call 120 far; perpetual, future far, base; the other coin's perpetual.
KINDS = (
    Kind.CALL,
    Kind.PUT,
    Kind.CALL,
    Kind.PERPETUAL,
    Kind.FUTURE,
    Kind.BASE,
    Kind.PERPETUAL,
)
CALL, PUT, FAR_CALL, PERP, FUTURE, BASE, OTHER_PERP = range(7)


def market(**changes: Any) -> Market:
    listing = Listing(
        np.array(KINDS, np.int8),
        np.array([0, 0, 0, 0, 0, 0, 1], np.int32),
        np.array([0, 0, 1, -1, 1, -1, -1], np.int32),
        np.array([100.0, 90.0, 120.0, 0.0, 0.0, 0.0, 0.0]),
    )
    one = Market(
        listing=listing,
        seconds=np.array([30 * DAY, 90 * DAY]),
        forward_fixed=np.zeros(2),
        forward_variable=np.array([100.5, 102.0]),
        rate=np.array([0.03, 0.03]),
        expiry_confidence=np.ones(2),
        spot=np.array([100.0, 10.0]),
        spot_confidence=np.ones(2),
        perp_price=np.array([100.2, 10.0]),
        perp_confidence=np.ones(2),
        stable=1.0,
        vol=np.array([0.6, 0.65, 0.55, 0.0, 0.0, 0.0, 0.0]),
        price=np.array([0.0, 0.0, 0.0, 0.0, 0.0, 100.0, 0.0]),
        confidence=np.ones(7),
        usable=np.ones(7, np.bool_),
    )
    return replace(one, **changes)


def book(*accounts: dict[int, float], cash: float = 0.0) -> Book:
    start, rows, held = [0], [], []
    for each in accounts:
        for row, quantity in sorted(each.items()):
            rows.append(row)
            held.append(quantity)
        start.append(len(rows))
    return Book(
        np.array(start, np.int64),
        np.array(rows, np.int32),
        np.array(held, np.float64),
        np.full(len(accounts), cash),
        np.zeros(len(accounts)),
    )
