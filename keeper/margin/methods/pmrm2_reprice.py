"""PMRM_2: a ladder from the last one where only some volatilities moved.

Values are those of pricing everything, to the bit: an option's value knows its own inputs alone.
Must not know accounts, or when it is worth asking.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from keeper.margin.book import Market
from keeper.margin.kernel.front import aligned
from keeper.margin.methods.pmrm2_exposure import Terms
from keeper.margin.methods.pmrm2_ladder import PriceLadder, price_ladder
from keeper.margin.methods.pmrm2_parameters import Pmrm2Parameters


SHARE_MAX: Final = 0.25  # of the listing: beyond, pricing everything is as cheap
SHARED: Final = (
    "seconds",
    "forward_fixed",
    "forward_variable",
    "rate",
    "expiry_confidence",
    "spot",
    "spot_confidence",
    "perp_price",
    "perp_confidence",
    "price",
    "confidence",
    "usable",
)  # every column but volatility that ladder and terms read

Priced = tuple[PriceLadder, Terms]


def repriced(
    parameters: Pmrm2Parameters, last: tuple[Market, Priced], market: Market, threads: int
) -> Priced | None:
    """Return ladder and terms of `market`; None where more than volatilities moved.

    last  a market and what was priced there, by the compiled kernel and of everything listed; its
          arrays must be as they were
    """
    then, (ladder, terms) = last
    if ladder.table is None or then.listing is not market.listing or then.stable != market.stable:
        return None
    for name in SHARED:
        old, new = getattr(then, name), getattr(market, name)
        if old is not new and not np.array_equal(old, new):
            return None
    moved = market.vol != then.vol
    some = np.flatnonzero(moved)
    if len(some) > SHARE_MAX * len(moved):
        return None
    if not len(some):
        return ladder, terms
    fresh = price_ladder(parameters, market, moved, threads)
    if fresh.table is None or fresh.table.shape != ladder.table.shape:
        return None
    table, valid = aligned(*ladder.table.shape), ladder.valid
    table[:] = ladder.table
    table[some] = fresh.table[some]
    if np.any(valid[some] != fresh.valid[some]):
        valid = valid.copy()
        valid[some] = fresh.valid[some]
    value = table[:, : len(ladder.value)].T
    return replace(ladder, value=value, valid=valid, table=table), terms
