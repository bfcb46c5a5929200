"""Which accounts need a look: breaches by number, and the figures of the whole book.

Takes arrays and returns row numbers; knows nothing of how margin was computed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Triage(NamedTuple):
    """Rows in breach, worst excess first, and the sums the operator sees (USD)."""

    breaches: NDArray[np.int64]
    insolvent: int
    undecided: int
    shortfall_usd: float
    excess_min_usd: float


def triage(
    excess: NDArray[np.float64], equity: NDArray[np.float64], defined: NDArray[np.bool_]
) -> Triage:
    """Return the breaches of a book; all arguments are (account,), money in USD.

    A NaN excess is not a number to decide on: such a row counts as undecided, never as healthy.
    """
    decided = defined & np.isfinite(excess)
    breached = np.flatnonzero(decided & (excess < 0.0))
    order = np.lexsort((breached, excess[breached]))
    rows = breached[order]
    return Triage(
        breaches=rows,
        insolvent=int(np.count_nonzero(equity[rows] < 0.0)),
        undecided=int(len(excess) - np.count_nonzero(decided)),
        shortfall_usd=float(-np.add.accumulate(excess[rows])[-1]) if len(rows) else 0.0,
        excess_min_usd=float(excess[decided].min()) if decided.any() else 0.0,
    )
