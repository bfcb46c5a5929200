"""Warm the compiled kernel: every loop once, so that its disk cache is full before it matters.

Run at build time (`python -m keeper.margin.kernel.warm`) or at start; with a full cache it takes
half a second, most of it numba's import. Must not know venues.
"""

from dataclasses import replace

import numpy as np

from keeper.margin.book import Book, Kind, Listing, Market, Result
from keeper.margin.kernel.front import compiled, netted_worst
from keeper.margin.kernel.grid import forward_grid
from keeper.margin.kernel.shapes import Rows
from keeper.margin.methods.pmrm2 import (
    BasisContingency,
    MarginFactors,
    OtherContingencies,
    Pmrm2,
    Pmrm2Parameters,
    Scenario,
    SkewShock,
    VolShock,
    VolShockRange,
)
from keeper.margin.screen import Screen


SCENARIOS = (31, 33)  # most managers have so many: one compiled width each


def warm() -> str:
    """Run every loop; return why there is no compiled kernel, empty where there is one."""
    reason = compiled().reason
    if reason:
        return reason
    book = _book()
    for count in SCENARIOS:
        method, screen, market = Pmrm2(_parameters(count)), Screen(1.0), _market()
        screen.require(method, book, market)
        screen.require(method, book, replace(market, spot=market.spot * 1.01))
        forward_grid(method, book, market, (np.zeros(1), np.zeros(1)), np.zeros(2), 1)
    rows = Rows(2, book.start, book.instrument, book.quantity, book.cash, book.carried)
    netted_worst(rows, book.instrument * 0, np.ones((2, 27)), np.ones(2))
    return ""


def first_result() -> Result:
    """Return one account's requirement: what a start has to get to."""
    return Pmrm2(_parameters(SCENARIOS[0])).require(_book(), _market())


def _book() -> Book:
    return Book(
        start=np.array([0, 2], np.int64),
        instrument=np.array([0, 1], np.int32),
        quantity=np.array([1.0, -1.0]),
        cash=np.array([10.0]),
        carried=np.zeros(1),
    )


def _market() -> Market:
    one = np.ones(1)
    return Market(
        listing=Listing(
            kind=np.array([Kind.CALL, Kind.PUT], np.int8),
            underlying=np.zeros(2, np.int32),
            expiry=np.zeros(2, np.int32),
            strike=np.ones(2),
        ),
        seconds=one * 1e6,
        forward_fixed=one * 0.0,
        forward_variable=one,
        rate=one * 0.0,
        expiry_confidence=one,
        spot=one,
        spot_confidence=one,
        perp_price=one,
        perp_confidence=one,
        stable=1.0,
        vol=np.ones(2),
        price=np.zeros(2),
        confidence=np.ones(2),
        usable=np.ones(2, np.bool_),
    )


def _parameters(count: int) -> Pmrm2Parameters:
    """Return settings with as many different scenarios; their numbers do not matter here."""
    shocks = [Scenario(1.0 + index / 100.0, VolShock.UP, 1.0) for index in range(count - 3)]
    # The mark and the two basis shocks have columns of their own, whether scenarios or not.
    shocks += [Scenario(spot, VolShock.NONE, 1.0) for spot in (1.0, 1.05, 0.95)]
    return Pmrm2Parameters(
        scenarios=tuple(shocks),
        basis=BasisContingency(1.05, 0.95, 0.0, 0.0),
        margin=MarginFactors(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0),
        other=OtherContingencies(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        vol=VolShockRange(0.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        skew=SkewShock(0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0),
    )


if __name__ == "__main__":
    raise SystemExit(warm() or 0)
