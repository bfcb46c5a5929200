"""PMRM_2 over many moves of one market: excess and equity of a whole book, a spot at a time.

The volatilities of one spot are priced as one wide listing, one copy of the instruments each, so
that numpy's share is paid once; contingencies and collateral do not know volatility and are summed
once. The figures are those of `Pmrm2.require` cell by cell, to the bit; where that cannot be
promised (no kernel, rows out of order, a number that is absurd or missing) the answer is None or
False, and the caller takes `require`. Must not know threads.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from keeper.margin.book import Book, Flags, Floats, Kind, Market
from keeper.margin.kernel.front import blank, compiled, rows_of, share
from keeper.margin.kernel.shapes import Dated, Plan, Side, View
from keeper.margin.methods.pmrm2_compiled import ranks_of, shocks_of
from keeper.margin.methods.pmrm2_exposure import readable, terms_of
from keeper.margin.methods.pmrm2_ladder import price_ladder
from keeper.margin.methods.pmrm2_parameters import Pmrm2Parameters
from keeper.margin.netting import Legs, group_leaves, held_legs, naked_shorts, sums


LARGEST: Final = 1e60  # up to here no sum or product overflows: initial margin has a number too


@dataclass(frozen=True, slots=True)
class Cells:
    """A book laid out once; `view` answers for one spot.

    valid        (instrument,) who has a number: a cell where others do is not for us
    naked, leaf  (leaf,) uncovered short contracts, and whose they are
    perp         (account,) contracts
    """

    parameters: Pmrm2Parameters
    book: Book
    plan: Plan
    valid: Flags
    naked: Floats
    leaf: np.ndarray
    perp: Floats
    bases: Legs

    def view(self, spot: Market, vols: Floats, carried: Floats, out: View) -> bool:
        """Fill `out` for relative moves of volatility at a market of moved spot; False: not.

        vols     (cell,) the market's volatilities are still unmoved
        carried  (account,) USD at this spot
        """
        count, size, expiries = len(vols), len(spot.vol), len(spot.seconds)
        if not readable(spot, self.parameters.underlying) or not _ordinary(spot.price, carried):
            return False
        ladder = price_ladder(self.parameters, _wide(spot, vols), None, 1)
        loop = compiled().cells
        if (
            loop is None
            or ladder.table is None
            or np.any(ladder.valid.reshape(count, size) != self.valid)
        ):
            return False
        column, table = shocks_of(self.parameters, ladder)
        here = slice(expiries)
        dated = Dated(
            ladder.long_discount[here],
            ladder.short_discount[here],
            ladder.basis_weight[here],
            spot.expiry_confidence,
        )
        side = self._side(spot, table, carried)
        width = blank(len(column.move))
        return share(loop, count, (self.plan, side, dated, column, width, out), 1)

    def _side(self, spot: Market, table: Floats, carried: Floats) -> Side:
        """Return what the volatilities of one spot share; sums as `kernel.accounts` takes them."""
        parameters, perp, n = self.parameters, self.perp, self.book.accounts
        terms, other, row = terms_of(parameters, spot), parameters.other, parameters.underlying
        level, bases = float(spot.spot[row]), self.bases
        worth = bases.quantity * terms.unit_value[bases.instrument]
        cancelling = bases.quantity * terms.cancelling[bases.instrument]
        haircut = worth * terms.mm_haircut[bases.instrument]
        charged = np.abs(perp) * level * other.mm_perp
        charged = charged + sums(self.leaf, self.naked * level * other.mm_option, n)
        linear = np.where(perp != 0.0, perp * spot.perp_price[row], 0.0)
        return Side(
            size=len(spot.vol),
            mm_factor=float(parameters.margin.mm_factor),
            ladder=table.reshape(-1),
            carried=np.where(perp != 0.0, carried, 0.0),
            value=sums(bases.account, worth, n),
            linear=linear + sums(bases.account, cancelling, n),
            charged=charged + sums(bases.account, haircut, n),
        )


def cells_of(parameters: Pmrm2Parameters, book: Book, market: Market) -> Cells | None:
    """Lay the book out; None where the cells have to be computed one by one."""
    listing, n = market.listing, book.accounts
    kind, size = listing.kind, len(listing.kind)
    if compiled().cells is None or rows_of(book) is None or not _canonical(book, size):
        return None
    if not _ordinary(
        book.quantity, book.cash, market.perp_price, market.spot, *_charges(parameters)
    ):
        return None
    ladder = price_ladder(parameters, market, None, 1)
    ranks = ranks_of(listing, ladder.valid)
    if ranks is None:
        return None
    legs = held_legs(book, 0, n)
    sound = ladder.valid[legs.instrument]
    refused = sums(legs.account, np.where(sound, 0.0, 1.0), n) > 0.0
    priced = legs.where(sound)
    kinds = kind[priced.instrument]
    options, perps = priced.where(kinds <= Kind.PUT), priced.where(kinds == Kind.PERPETUAL)
    leaves = group_leaves(options, listing.expiry, n, len(market.seconds))
    plan = Plan(
        accounts=n,
        leaves=np.searchsorted(leaves.account, np.arange(n + 1)).astype(np.int64),
        legs=np.searchsorted(leaves.of_leg, np.arange(len(leaves.expiry) + 1)),
        expiry=leaves.expiry.astype(np.int64),
        instrument=options.instrument.astype(np.int64),
        quantity=options.quantity,
        cash=book.cash,
        refused=refused.view(np.uint8),
    )
    return Cells(
        parameters=parameters,
        book=book,
        plan=plan,
        valid=ladder.valid,
        naked=naked_shorts(options, leaves, ranks.astype(np.intp)),
        leaf=leaves.account,
        perp=sums(perps.account, perps.quantity, n),
        bases=priced.where(kinds == Kind.BASE),
    )


def _wide(market: Market, vols: Floats) -> Market:
    """Return one listing with a copy of the instruments and expiries for each volatility."""
    count, listing, expiries = len(vols), market.listing, len(market.seconds)
    first = np.repeat(np.arange(count) * expiries, len(listing.kind))
    expiry = np.tile(listing.expiry, count)
    return replace(
        market,
        listing=replace(
            listing,
            kind=np.tile(listing.kind, count),
            underlying=np.tile(listing.underlying, count),
            expiry=np.where(expiry >= 0, expiry + first, expiry).astype(np.int32),
            strike=np.tile(listing.strike, count),
        ),
        seconds=np.tile(market.seconds, count),
        forward_fixed=np.tile(market.forward_fixed, count),
        forward_variable=np.tile(market.forward_variable, count),
        rate=np.tile(market.rate, count),
        expiry_confidence=np.tile(market.expiry_confidence, count),
        vol=np.concatenate([market.vol * (1.0 + float(vol)) for vol in vols]),
        price=np.tile(market.price, count),
        confidence=np.tile(market.confidence, count),
        usable=np.tile(market.usable, count),
    )


def _canonical(book: Book, instruments: int) -> bool:
    """Return whether rows are where the listing and the accounts say: ascending, none twice."""
    start, instrument, rows = book.start, book.instrument, len(book.instrument)
    if start[0] != 0 or start[-1] != rows or np.any(start[1:] < start[:-1]):
        return False
    if not rows:
        return True
    first = np.zeros(rows + 1, np.bool_)
    first[start] = True
    inside = (instrument[1:] > instrument[:-1]) | first[1:-1]
    return bool(inside.all() and instrument.min() >= 0 and instrument.max() < instruments)


def _charges(parameters: Pmrm2Parameters) -> tuple[Floats, ...]:
    """Return the parameters that initial margin alone knows: they too must be numbers."""
    other, margin = parameters.other, parameters.margin
    held = [each.im_haircut for each in parameters.collateral]
    held += [other.im_perp, other.im_option, other.confidence_margin, margin.im_factor]
    held += [other.peg_loss_threshold, other.peg_loss_factor]
    return (np.array(held, np.float64),)


def _ordinary(*columns: Floats) -> bool:
    """Return whether every number is finite and of a size that no sum can overflow."""
    return all(bool(np.all(np.abs(each) < LARGEST)) for each in columns)
