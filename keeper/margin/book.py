"""The three shapes of margin: a Book and a Market go into a Method, a Result comes out.

This room knows arrays only: no accounts by name, no chain, no clock. Floats are float64, USD and
coins; every sum runs in canonical row order (account, then instrument), never through BLAS.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Indices = NDArray[np.int32]
Flags = NDArray[np.bool_]


class Kind(IntEnum):
    """What an instrument is; its int8 code in `Listing.kind`."""

    CALL = 0
    PUT = 1
    PERPETUAL = 2
    FUTURE = 3
    BASE = 4  # spot, collateral: worth quantity x price
    LP = 5


@dataclass(frozen=True, slots=True)
class Listing:
    """What is listed, in canonical order; changes only when something is listed or expires.

    kind        (instrument,) int8, a `Kind`
    underlying  (instrument,) int32, row of the market's underlyings
    expiry      (instrument,) int32, row of the market's expiries, -1 where there is none
    strike      (instrument,) float64 USD, 0.0 where there is none
    """

    kind: NDArray[np.int8]
    underlying: Indices
    expiry: Indices
    strike: Floats


@dataclass(frozen=True, slots=True)
class Market:
    """What the risk factors are worth at one instant.

    seconds           (expiry,)     time left, >= 0
    forward_fixed     (expiry,)     settled part of the forward, USD; shocks do not move it
    forward_variable  (expiry,)     the rest of the forward, USD
    rate              (expiry,)     continuously compounded, a year; >= 0
    expiry_confidence (expiry,)     least of forward, rate and vol confidence, 0..1
    spot              (underlying,) USD
    spot_confidence   (underlying,) 0..1
    perp_price        (underlying,) USD, 0.0 where there is no perpetual
    perp_confidence   (underlying,) 0..1
    stable            ()            USD per unit of cash
    vol               (instrument,) implied, a year; 0.0 for what has none
    price             (instrument,) USD per unit of a BASE instrument, 0.0 for others
    confidence        (instrument,) of that price, 0..1
    usable            (instrument,) False where the chain itself would refuse to value it
    """

    listing: Listing
    seconds: Floats
    forward_fixed: Floats
    forward_variable: Floats
    rate: Floats
    expiry_confidence: Floats
    spot: Floats
    spot_confidence: Floats
    perp_price: Floats
    perp_confidence: Floats
    stable: float
    vol: Floats
    price: Floats
    confidence: Floats
    usable: Flags


@dataclass(frozen=True, slots=True)
class Book:
    """Who holds what: sparse rows over the listing, canonical order.

    start       (account + 1,) int64, rows of account a are start[a]:start[a+1]
    instrument  (row,) int32, ascending inside an account, never repeated there
    quantity    (row,) float64, signed, coins or contracts; 0.0 counts as not held
    cash        (account,) float64 USD, as stored
    carried     (account,) float64 USD, unsettled profit and funding of perpetuals
    """

    start: Ints
    instrument: Indices
    quantity: Floats
    cash: Floats
    carried: Floats

    @property
    def accounts(self) -> int:
        """Return how many accounts there are."""
        return len(self.cash)


@dataclass(frozen=True, slots=True)
class Result:
    """What an account is worth and what it must keep, USD, all (account,).

    equity   cash plus positions at mark (Derive: MtM)
    mm, im   maintenance and initial margin, positive amounts
    worst    int64, index of the worst scenario; `Method.scenarios` where an add-on scenario that
             has no index (Derive's basis contingency) is the worst
    gross    gross notional: sum of |quantity| x spot or price, plus |cash|
    defined  False where the chain would refuse to compute; the other columns are then 0.0 and
             must not be read
    """

    equity: Floats
    mm: Floats
    im: Floats
    worst: Ints
    gross: Floats
    defined: Flags

    @property
    def excess(self) -> Floats:
        """Return equity less maintenance margin (Derive: its `MM`); below zero = breach."""
        return self.equity - self.mm

    @property
    def excess_initial(self) -> Floats:
        """Return equity less initial margin (Derive: its `IM`)."""
        return self.equity - self.im

    def with_cash(self, delta: Floats) -> "Result":
        """Return the same book with `delta` (account,) USD more cash; cash carries no stress."""
        return replace(self, equity=np.where(self.defined, self.equity + delta, 0.0))


class Method(Protocol):
    """A margin methodology with its parameters: pure, no state between calls."""

    @property
    def name(self) -> str:
        """Return the methodology's name, as `keeper margin --list` prints it."""

    @property
    def scenarios(self) -> int:
        """Return how many indexed scenarios there are."""

    def require(self, book: Book, market: Market) -> Result:
        """Return every account's requirement; never NaN, `defined` says what has no number."""

    def ladder(self, book: Book, market: Market) -> Floats:
        """Return stressed P&L against equity, USD, (account, scenario + 1).

        The last column is the add-on scenario without an index. Meant for a few accounts: an
        opportunity, `keeper explain`; undefined accounts are rows of 0.0.
        """

    def under_scenario(self, book: Book, market: Market, scenario: Ints) -> Floats:
        """Return the excess under one given scenario each, USD, (account,).

        scenario  (account,) int64 in 0..scenarios-1; what a chain checks when the caller names
                  the scenario. Undefined accounts are 0.0.
        """

    def greeks(self, book: Book, market: Market) -> Floats:
        """Return delta (coins), gamma, vega (per 1.0 of vol), theta (a year), (account, 4)."""
