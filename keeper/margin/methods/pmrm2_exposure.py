"""PMRM_2 for a chunk of accounts: what each holds, is charged, and loses under a scenario.

Joins the price ladder (instruments) with the sparse rows (accounts). Which of the losses counts,
and with what factor, is the method's business. Sections are the venue's specification's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keeper.margin.book import Book, Flags, Floats, Kind, Market
from keeper.margin.methods.pmrm2_ladder import DOWN, MARK, UP, PriceLadder
from keeper.margin.methods.pmrm2_parameters import OtherContingencies, Pmrm2Parameters, VolShock
from keeper.margin.netting import (
    Leaves,
    Legs,
    Places,
    chunks,
    group_leaves,
    held_legs,
    naked_shorts,
    strike_ranks,
    sums,
)


@dataclass(frozen=True, slots=True)
class Terms:
    """Per-instrument terms of one market, shared by all chunks; all (instrument,).

    unit_value   USDC per unit of a BASE instrument, 0.0 for others
    cancelling   the same where it is stressed with spot
    mm_haircut   of value, 0.0 where not BASE; im_haircut likewise
    confidence   of a BASE price, never above the spot's
    notional     USD of gross notional per unit
    """

    unit_value: Floats
    cancelling: Floats
    mm_haircut: Floats
    im_haircut: Floats
    confidence: Floats
    notional: Floats


@dataclass(frozen=True, slots=True)
class Exposure:
    """A chunk of accounts between ladder and requirement; all USD, (account,) unless said.

    legs, options   what is held; the options among it
    leaves          their (account, expiry) groups
    marks           (leaf,) at mark
    linear          P&L per 1.0 of spot's relative move: perpetuals and cancelling collateral
    basis           the basis contingency, <= 0
    equity, mm_contingency, im_contingency, gross, defined  as in `Result`; the second
                    contingency is what initial margin adds to the first
    """

    parameters: Pmrm2Parameters
    ladder: PriceLadder
    legs: Legs
    options: Legs
    leaves: Leaves
    marks: Floats
    linear: Floats
    basis: Floats
    equity: Floats
    mm_contingency: Floats
    im_contingency: Floats
    gross: Floats
    defined: Flags

    def pnl(self, index: int) -> Floats:
        """Return the P&L of one indexed scenario against equity (section 2.5), (account,)."""
        scenario = self.parameters.scenarios[index]
        linear = self.linear * ((scenario.spot_shock - 1.0) * scenario.damping)
        column, expiry = self.ladder.column[index], self.leaves.expiry
        value = self.marks
        if column != MARK:
            value = leaf_values(self.ladder, self.options, self.leaves, column)
        factor = np.where(
            value >= 0.0, self.ladder.long_discount[expiry], self.ladder.short_discount[expiry]
        )
        change = (value * factor - self.marks) * scenario.damping
        if scenario.vol_shock in (VolShock.LINEAR, VolShock.ABS):
            change = -np.abs(change)
        return linear + sums(self.leaves.account, change, len(linear))


def exposures(
    parameters: Pmrm2Parameters,
    book: Book,
    market: Market,
    priced: tuple[PriceLadder, Terms],
    chunk_rows: int,
) -> Iterator[tuple[int, int, Exposure]]:
    """Yield (first, last, exposure) of neighbouring accounts until all are covered."""
    shared = (*priced, strike_ranks(market.listing))
    for first, last in chunks(book.start, chunk_rows):
        yield first, last, _expose(parameters, shared, book, market, (first, last))


def leaf_values(ladder: PriceLadder, options: Legs, leaves: Leaves, column: int) -> Floats:
    """Return what each leaf is worth in one column of the ladder, USD, (leaf,)."""
    return leaves.net(options.quantity * ladder.value[column].take(options.instrument))


def terms_of(parameters: Pmrm2Parameters, market: Market) -> Terms:
    """Return the terms; raises ValueError where the parameters do not fit the listing."""
    base = market.listing.kind == Kind.BASE
    collateral = parameters.collateral
    if len(collateral) != np.count_nonzero(base):
        raise ValueError(
            f"collateral: {len(collateral)} given for {np.count_nonzero(base)} BASE instruments "
            "of the listing; give one each, in its order"
        )
    unit_value, cancelling, mm_haircut, im_haircut = np.zeros((4, len(base)))
    unit_value[base] = market.price[base] / market.stable
    cancelling[base] = [each.risk_cancelling for each in collateral]
    mm_haircut[base] = [each.mm_haircut for each in collateral]
    im_haircut[base] = [each.im_haircut for each in collateral]
    spot = market.spot[parameters.underlying]
    return Terms(
        unit_value=unit_value,
        cancelling=np.where(cancelling > 0.0, unit_value, 0.0),
        mm_haircut=mm_haircut,
        im_haircut=im_haircut,
        confidence=np.minimum(market.confidence, market.spot_confidence[parameters.underlying]),
        notional=np.where(base, market.price, spot),
    )


def _expose(  # one straight line from rows to contingencies
    parameters: Pmrm2Parameters,
    shared: tuple[PriceLadder, Terms, Places],
    book: Book,
    market: Market,
    span: tuple[int, int],
) -> Exposure:
    (first, last), kind, (ladder, terms, rank) = span, market.listing.kind, shared
    accounts, here = last - first, slice(first, last)
    legs = held_legs(book, first, last)
    sound = ladder.valid[legs.instrument]
    priced = legs.where(sound)  # the others leave their account undefined, and touch no sum
    kinds = kind[priced.instrument]
    options = priced.where(kinds <= Kind.PUT)
    perps, bases = priced.where(kinds == Kind.PERPETUAL), priced.where(kinds == Kind.BASE)
    leaves = group_leaves(options, market.listing.expiry, accounts, len(market.seconds))
    marks = leaf_values(ladder, options, leaves, MARK)
    perp = sums(perps.account, perps.quantity, accounts)
    value = bases.quantity * terms.unit_value[bases.instrument]
    naked = naked_shorts(options, leaves, rank)
    held = options, leaves, naked, perp, bases, value
    mm, im = _contingencies(parameters, terms, market, held)
    carried = np.where(perp != 0.0, book.carried[here], 0.0)  # the chain asks for held ones only
    marked = sums(leaves.account, marks, accounts)
    equity = carried + marked + sums(bases.account, value, accounts) + book.cash[here]
    cancelling = bases.quantity * terms.cancelling[bases.instrument]
    linear = np.where(perp != 0.0, perp * market.perp_price[parameters.underlying], 0.0)
    notional = np.abs(legs.quantity) * terms.notional[legs.instrument]
    refused = sums(legs.account, np.where(sound, 0.0, 1.0), accounts) > 0.0
    return Exposure(
        parameters=parameters,
        ladder=ladder,
        legs=legs,
        options=options,
        leaves=leaves,
        marks=marks,
        linear=linear + sums(bases.account, cancelling, accounts),
        basis=_basis(ladder, options, leaves, marks, accounts),
        equity=equity,
        mm_contingency=mm,
        im_contingency=im,
        gross=sums(legs.account, notional, accounts) + np.abs(book.cash[here]),
        defined=~refused & readable(market, parameters.underlying),
    )


def _basis(
    ladder: PriceLadder, options: Legs, leaves: Leaves, marks: Floats, accounts: int
) -> Floats:
    """Return the basis contingency (section 2.4), <= 0, (account,)."""
    up = leaf_values(ladder, options, leaves, UP) - marks
    down = leaf_values(ladder, options, leaves, DOWN) - marks
    worse = np.minimum(np.minimum(up, down), 0.0)
    return sums(leaves.account, worse * ladder.basis_weight[leaves.expiry], accounts)


def _contingencies(
    parameters: Pmrm2Parameters,
    terms: Terms,
    market: Market,
    held: tuple[Legs, Leaves, Floats, Floats, Legs, Floats],
) -> tuple[Floats, Floats]:
    """Return the maintenance contingency and what initial margin adds (section 2.4), (account,)."""
    options, leaves, naked, perp, bases, value = held
    other, accounts, row = parameters.other, len(perp), parameters.underlying
    spot, spot_confidence = market.spot[row], market.spot_confidence[row]
    least = np.minimum(spot_confidence, market.perp_confidence[row])
    confidence = np.where(perp != 0.0, least, spot_confidence)
    perp_value = np.abs(perp) * spot
    naked = naked * spot
    leaf_confidence = np.minimum(
        confidence[leaves.account], market.expiry_confidence[leaves.expiry]
    )
    net = leaves.net(np.abs(options.quantity)) * spot
    leaf = naked * other.im_option + _doubt(other, leaf_confidence, net)
    base = value * terms.im_haircut[bases.instrument]
    base = base + _doubt(other, terms.confidence[bases.instrument], value)
    mm = (
        perp_value * other.mm_perp
        + sums(leaves.account, naked * other.mm_option, accounts)
        + sums(bases.account, value * terms.mm_haircut[bases.instrument], accounts)
    )
    im = (
        perp_value * other.im_perp
        + _doubt(other, confidence, perp_value)
        + sums(leaves.account, leaf, accounts)
        + sums(bases.account, base, accounts)
    )
    return mm, im


def _doubt(other: OtherContingencies, confidence: Floats, notional: Floats) -> Floats:
    """Return the charge for a quote of low confidence, USD."""
    charge = (1.0 - confidence) * other.confidence_margin * notional
    return np.where(confidence < other.confidence_threshold, charge, 0.0)


def readable(market: Market, underlying: int) -> bool:
    """Return whether spot and stable have values: without them nothing has one on chain."""
    spot, confidence = market.spot[underlying], market.spot_confidence[underlying]
    positive = spot > 0.0 and market.stable > 0.0 and confidence >= 0.0
    return bool(positive and np.isfinite([spot, confidence, market.stable]).all())
