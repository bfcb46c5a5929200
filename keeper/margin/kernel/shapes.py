"""The shapes the compiled loops take and fill: named tuples of arrays and numbers.

Named tuples because numba reads their fields by name; what is no array is a plain number.
Flags are bytes to the loops. Must not know what is done with them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keeper.margin.book import Floats, Indices, Ints


Bytes = NDArray[np.uint8]


class Rows(NamedTuple):
    """A `Book`, as the loops take it; `size` rows."""

    size: int
    start: Ints
    instrument: Indices
    quantity: Floats
    cash: Floats
    carried: Floats


class Units(NamedTuple):
    """What one unit of each instrument is; all (instrument,) but the first three.

    size        instruments
    width       numbers in a ladder row
    table       (instrument x width,) the ladder, flat, 64-byte aligned
    group       expiry >= 0, or -1 perpetual, -2 collateral, -3 refused; an underlying in
                `netted_worst`
    rank        the same for a call and a put of one strike
    value       USD at mark, of what is no option
    notional, cancelling, mm_haircut, im_haircut, confidence  as `pmrm2_exposure.Terms`
    """

    size: int
    width: int
    table: Floats
    group: Indices
    rank: Indices
    value: Floats
    notional: Floats
    cancelling: Floats
    mm_haircut: Floats
    im_haircut: Floats
    confidence: Floats


class Dated(NamedTuple):
    """Factors of each expiry, (expiry,): see `pmrm2_ladder.PriceLadder`."""

    long: Floats
    short: Floats
    weight: Floats
    confidence: Floats


class Shocks(NamedTuple):
    """What each column of the ladder is a scenario of, (width,).

    move     factor on what is linear in spot: (spot shock - 1) x damping
    damping  factor on option P&L
    sign     -0.0 where P&L counts as a loss whatever its sign, else 0.0
    barred   1.0 where the column is no scenario
    number   the scenario's index
    """

    move: Floats
    damping: Floats
    sign: Floats
    barred: Floats
    number: Floats


class Levels(NamedTuple):
    """Prices, confidences and charges all accounts share; as in `Market` and parameters."""

    scenarios: int
    spot: float
    spot_confidence: float
    least_confidence: float  # of spot and perpetual
    perp_price: float
    mm_perp: float
    im_perp: float
    mm_option: float
    im_option: float
    confidence_threshold: float
    confidence_margin: float
    mm_factor: float
    im_factor: float


class Outcome(NamedTuple):
    """The columns of a `Result`, filled in place; flags are bytes to the loops."""

    equity: Floats
    mm: Floats
    im: Floats
    worst: Ints
    gross: Floats
    defined: Bytes


class Options(NamedTuple):
    """Options to price, all (option,): row in the ladder, expiry, is it a call, strike."""

    row: Ints
    expiry: Ints
    call: Bytes
    strike: Floats
    log_strike: Floats


class Forwards(NamedTuple):
    """(expiry,) discount; forwards and their logarithms (expiry x width,), flat."""

    discount: Floats
    forward: Floats
    log_forward: Floats


class Spreads(NamedTuple):
    """Total volatilities (kind x option,), and (kind x width,) 1.0 where a column uses the kind."""

    kinds: int
    options: int
    total: Floats
    used: Floats


class Table(NamedTuple):
    """The ladder to be filled, (instrument x width,), flat."""

    table: Floats


class Found(NamedTuple):
    """(account,) 1 where its rows differ."""

    found: Bytes


class Asked(NamedTuple):
    """Accounts whose gross fall is asked for: `size` instruments, and the answers, (place,)."""

    size: int
    account: Ints
    fall: Floats
    found: Floats


class Steps(NamedTuple):
    """Scenarios, (scenario,), as `pmrm2_fall` needs them: column, k, 1 where skewed.

    size, columns  how many scenarios, and columns that are no padding
    """

    size: int
    columns: int
    column: Ints
    k: Floats
    skewed: Bytes
    mm_factor: float
    rounding: float


class Factors(NamedTuple):
    """(expiry,) largest discount factor, its change, the basis weight, its change; all >= 0."""

    factor: Floats
    drift: Floats
    weight: Floats
    weight_drift: Floats


class Tables(NamedTuple):
    """Two ladders (instrument x width,), flat, the options asked for, and the answers."""

    width: int
    before: Floats
    after: Floats
    option: Ints
    expiry: Ints
    found: Floats


class Then(NamedTuple):
    """An epoch's figures, as a `Result`, and what cash was, all (account,)."""

    equity: Floats
    mm: Floats
    im: Floats
    worst: Ints
    gross: Floats
    defined: Bytes
    cash: Floats
    carried: Floats


class Now(NamedTuple):
    """What cash is, (account,); the largest fall per USD of notional; the share for rounding."""

    cash: Floats
    carried: Floats
    extra: Floats
    steepest: float
    rounding: float


class Lower(NamedTuple):
    """The figures to go on with, as a `Result`; excess that is safe; the lowest it can be."""

    equity: Floats
    mm: Floats
    im: Floats
    worst: Ints
    gross: Floats
    defined: Bytes
    safe: Floats
    low: Floats


class Plan(NamedTuple):
    """A book laid out for the grid: what no move of the market changes.

    accounts              how many
    leaves                (account + 1,) where each account's leaves begin
    legs, expiry          (leaf + 1,) where each leaf's legs begin; (leaf,)
    instrument, quantity  (leg,) options alone, never 0.0
    cash, refused         (account,) USD; 1 where it has no number
    """

    accounts: int
    leaves: Ints
    legs: Ints
    expiry: Ints
    instrument: Ints
    quantity: Floats
    cash: Floats
    refused: Bytes


class Side(NamedTuple):
    """What the cells of one spot share, USD, (account,), and their ladders one after another.

    size    instruments in a ladder
    linear  P&L per 1.0 of spot's relative move; value: of collateral; charged: the contingencies
    """

    size: int
    mm_factor: float
    ladder: Floats
    carried: Floats
    value: Floats
    linear: Floats
    charged: Floats


class View(NamedTuple):
    """The answers of a grid's cells, (cell x account,), flat."""

    excess: Floats
    equity: Floats
