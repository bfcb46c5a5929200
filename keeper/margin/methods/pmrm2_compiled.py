"""PMRM_2 through the compiled kernel: the same sums as `pmrm2_exposure`, in one pass.

Turns ladder, terms and parameters into the kernel's arrays, and its columns into a `Result`. Where
there is no kernel, or the listing is not in canonical order, the answer is None and the numpy path
serves. Must not know threads or numba.
"""

from collections import deque
from typing import Final

import numpy as np

from keeper.margin.book import Book, Flags, Indices, Kind, Listing, Market, Result
from keeper.margin.kernel.front import aligned, blank, compiled, rows_of, share, width_of
from keeper.margin.kernel.shapes import Dated, Levels, Outcome, Shocks, Units
from keeper.margin.methods.pmrm2_exposure import Terms, readable
from keeper.margin.methods.pmrm2_ladder import PriceLadder
from keeper.margin.methods.pmrm2_parameters import Pmrm2Parameters, VolShock


PERPETUAL, COLLATERAL, REFUSED = -1, -2, -3
LISTINGS: Final = 4  # kept laid out: as many as there are managers in most venues

_KNOWN: deque[tuple[Listing, Flags, tuple[Indices, Indices] | None]] = deque(maxlen=LISTINGS)


def require_compiled(
    parameters: Pmrm2Parameters,
    book: Book,
    market: Market,
    priced: tuple[PriceLadder, Terms],
    threads: int,
) -> Result | None:
    """Return the requirement of every account, None where the numpy path must give it."""
    loop, (ladder, terms) = compiled().requirement, priced
    listing, count = market.listing, book.accounts
    netted, rows = _netted(listing, ladder.valid), rows_of(book)
    if loop is None or ladder.table is None or netted is None or rows is None:
        return None
    equity, mm, im, gross = (np.zeros(count) for _ in range(4))
    worst, defined = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    result = Result(equity, mm, im, worst, gross, defined)
    if not readable(market, parameters.underlying):
        return result
    shocks, table = shocks_of(parameters, ladder)
    width = len(shocks.move)
    units = Units(
        len(listing.kind),
        width,
        table.reshape(-1),
        *netted,
        terms.unit_value,
        terms.notional,
        terms.cancelling,
        terms.mm_haircut,
        terms.im_haircut,
        terms.confidence,
    )
    dated = Dated(
        ladder.long_discount, ladder.short_discount, ladder.basis_weight, market.expiry_confidence
    )
    levels = _levels(parameters, market)
    out = Outcome(equity, mm, im, worst, gross, defined.view(np.uint8))
    arguments = (rows, units, dated, shocks, levels, blank(width), out)
    return result if share(loop, count, arguments, threads) else None


def _netted(listing: Listing, valid: Flags) -> tuple[Indices, Indices] | None:
    """Return (group, rank) of each instrument; None where they are not in canonical order.

    The last ones are kept: they change with a listing, not with a quote. A ladder's flags are not
    written into once it is made.
    """
    for known, flags, found in tuple(_KNOWN):
        if known is listing and (flags is valid or np.array_equal(flags, valid)):
            return found
    ranks = ranks_of(listing, valid)
    made = None if ranks is None else (_groups(listing, valid), ranks)
    _KNOWN.appendleft((listing, valid, made))
    return made


def _groups(listing: Listing, valid: Flags) -> Indices:
    """Return where each instrument nets: its expiry, or a code for what has none."""
    group = np.where(listing.kind <= Kind.PUT, listing.expiry, REFUSED)
    group[listing.kind == Kind.PERPETUAL] = PERPETUAL
    group[listing.kind == Kind.BASE] = COLLATERAL
    group[~valid] = REFUSED
    return group.astype(np.int32)


def ranks_of(listing: Listing, valid: Flags) -> Indices | None:
    """Return a number for each strike of each expiry, None where they do not ascend."""
    options = np.flatnonzero((listing.kind <= Kind.PUT) & valid)
    expiry, strike = listing.expiry[options], listing.strike[options]
    later, same = expiry[1:] > expiry[:-1], expiry[1:] == expiry[:-1]
    if not np.all(later | (same & (strike[1:] >= strike[:-1]))):
        return None
    rank = np.zeros(len(listing.kind), np.int32)
    rank[options[1:]] = np.cumsum(later | (strike[1:] != strike[:-1]))
    return rank


def shocks_of(parameters: Pmrm2Parameters, ladder: PriceLadder) -> tuple[Shocks, np.ndarray]:
    """Return what each column means, and the table with as many columns.

    A ladder column serves one scenario; where two share one, and differ in damping, it is there
    twice. Of equal scenarios the first has the column: it is the one that is reported.
    """
    assert ladder.table is not None
    first = 3  # the mark and the basis shocks are columns even where no scenario uses them
    columns = list(range(first))
    found: dict[tuple[int, float, float, bool], int] = {}
    taken: dict[int, tuple[float, float, bool, int]] = {}
    for index, scenario in enumerate(parameters.scenarios):
        column, skewed = ladder.column[index], scenario.vol_shock in (VolShock.LINEAR, VolShock.ABS)
        move = (scenario.spot_shock - 1.0) * scenario.damping
        key = (column, move, scenario.damping, skewed)
        if key in found:
            continue
        place = column if column < first and column not in taken else len(columns)
        if place == len(columns):
            columns.append(column)
        found[key] = place
        taken[place] = (move, scenario.damping, skewed, index)
    width = width_of(len(columns))
    shocks = Shocks(
        np.zeros(width), np.zeros(width), np.zeros(width), np.ones(width), np.zeros(width)
    )
    for place, (move, damping, skewed, index) in taken.items():
        shocks.move[place], shocks.damping[place], shocks.number[place] = move, damping, index
        shocks.sign[place], shocks.barred[place] = -0.0 if skewed else 0.0, 0.0
    if columns == list(range(len(columns))) and width == ladder.table.shape[1]:
        return shocks, ladder.table
    table = aligned(len(ladder.valid), width)
    table[:, : len(columns)] = ladder.table[:, columns]
    return shocks, table


def _levels(parameters: Pmrm2Parameters, market: Market) -> Levels:
    other, margin, row = parameters.other, parameters.margin, parameters.underlying
    depeg = max(0.0, other.peg_loss_threshold - market.stable) * other.peg_loss_factor
    confidence = float(market.spot_confidence[row])
    return Levels(
        scenarios=len(parameters.scenarios),
        spot=float(market.spot[row]),
        spot_confidence=confidence,
        least_confidence=float(np.minimum(confidence, market.perp_confidence[row])),
        perp_price=float(market.perp_price[row]),
        mm_perp=float(other.mm_perp),
        im_perp=float(other.im_perp),
        mm_option=float(other.mm_option),
        im_option=float(other.im_option),
        confidence_threshold=float(other.confidence_threshold),
        confidence_margin=float(other.confidence_margin),
        mm_factor=float(margin.mm_factor),
        im_factor=float(margin.im_factor + depeg),
    )
