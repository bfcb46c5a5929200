"""Charges beside the scenarios: rates on gross, naked, hedged or concentrated quantities.

Each is zero by default; a methodology sets the few it has. Rates are shares of spot unless the
name ends in a unit.
"""

from dataclasses import dataclass, fields

import numpy as np

from keeper.margin.book import Book, Floats, Kind, Market
from keeper.margin.errors import not_negative, positive
from keeper.margin.netting import Legs, group_leaves, held_legs, naked_shorts, strike_ranks, sums
from keeper.margin.revaluation import Revaluation


@dataclass(frozen=True, slots=True)
class Charges:
    """Rates; what is charged inside the MM and IM factors, as a floor, or outside them.

    inside, added to the scenario loss:
      linear            gross perpetuals and futures (Deribit's roll shock, Dederi's contingency)
      naked_short       short options no leg of the same strike covers
      calendar          pairs of long and short delta of different expiries
      concentrated      net delta beyond `concentrated_usd`
      impact            |net delta| x sqrt(|net delta| / depth_usd): size against depth, ADV or
                        open interest
    floors, the loss is at least these:
      delta_net, delta_hedged    |net delta|, and the half of the rest that is hedged
      short_option, short_option_usd   gross short options
    outside:
      fee               gross quantity of perpetuals, futures and options
    """

    linear: float = 0.0
    naked_short: float = 0.0
    calendar: float = 0.0
    concentrated: float = 0.0
    concentrated_usd: float = 0.0
    impact: float = 0.0
    depth_usd: float = 1.0
    delta_net: float = 0.0
    delta_hedged: float = 0.0
    short_option: float = 0.0
    short_option_usd: float = 0.0
    fee: float = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            not_negative(f"charges.{each.name}", getattr(self, each.name))
        positive("charges.depth_usd", self.depth_usd)


@dataclass(frozen=True, slots=True)
class Charged:
    """USD of each account: added inside, floor of the loss, added outside."""

    inside: Floats
    floor: Floats
    outside: Floats


def charge(charges: Charges, book: Book, market: Market, unit: Revaluation) -> Charged:
    """Return every account's charges."""
    listing, accounts = market.listing, book.accounts
    legs = held_legs(book, 0, accounts)
    kind, spot = listing.kind[legs.instrument], market.spot[listing.underlying[legs.instrument]]
    spot = np.where(unit.valid[legs.instrument], spot, 0.0)
    gross = np.abs(legs.quantity) * spot
    linear = (kind == Kind.PERPETUAL) | (kind == Kind.FUTURE)
    option = kind <= Kind.PUT
    short = option & (legs.quantity < 0.0)
    inside = charges.linear * sums(legs.account, np.where(linear, gross, 0.0), accounts)
    if charges.naked_short:
        inside += charges.naked_short * _naked(legs, market, accounts)
    delta = legs.quantity * unit.greeks[0][legs.instrument]
    delta = np.where(option | linear, delta, 0.0)
    net, hedged, spread = _by_underlying(legs, market, delta, accounts)
    inside += charges.calendar * spread
    inside += charges.concentrated * np.maximum(0.0, net - charges.concentrated_usd)
    inside += charges.impact * net * np.sqrt(net / charges.depth_usd)
    minimum = charges.short_option * sums(legs.account, np.where(short, gross, 0.0), accounts)
    minimum += charges.short_option_usd * sums(
        legs.account, np.where(short, np.abs(legs.quantity), 0.0), accounts
    )
    floor = np.maximum(charges.delta_net * net + charges.delta_hedged * hedged, minimum)
    owed = np.maximum(0.0, legs.quantity * unit.funding[legs.instrument])
    outside = sums(legs.account, np.where(kind == Kind.PERPETUAL, owed, 0.0), accounts)
    outside += charges.fee * sums(legs.account, np.where(option | linear, gross, 0.0), accounts)
    return Charged(inside, floor, outside)


def hedged_delta(delta: Floats) -> tuple[float, float, float]:
    """Return (net, gross, hedged) of one underlying's leg deltas: hedged = (gross - |net|) / 2."""
    net, gross = float(delta.sum()), float(np.abs(delta).sum())
    return net, gross, 0.5 * (gross - abs(net))


def _naked(legs: Legs, market: Market, accounts: int) -> Floats:
    listing = market.listing
    options = legs.where(listing.kind[legs.instrument] <= Kind.PUT)
    leaves = group_leaves(options, listing.expiry, accounts, len(market.seconds))
    naked = naked_shorts(options, leaves, strike_ranks(listing))
    written = np.zeros(len(market.seconds))
    written[listing.expiry[options.instrument]] = market.spot[
        listing.underlying[options.instrument]
    ]
    return sums(leaves.account, naked * written[leaves.expiry], accounts)


def _by_underlying(
    legs: Legs, market: Market, delta: Floats, accounts: int
) -> tuple[Floats, Floats, Floats]:
    """Return USD of |net|, hedged and calendar-spread delta over all underlyings, (account,)."""
    listing, width = market.listing, len(market.spot)
    spot = np.where(np.isfinite(market.spot) & (market.spot > 0.0), market.spot, 0.0)
    key = legs.account * width + listing.underlying[legs.instrument]
    signed = sums(key, delta, accounts * width).reshape(accounts, width)
    gross = sums(key, np.abs(delta), accounts * width).reshape(accounts, width)
    dates = len(market.seconds) + 1
    leaf = key * dates + listing.expiry[legs.instrument] + 1
    by_date = sums(leaf, delta, accounts * width * dates).reshape(accounts, width, dates)
    long = np.maximum(by_date, 0.0).sum(axis=2)
    pairs = np.minimum(long, np.maximum(-by_date, 0.0).sum(axis=2))
    worth = spot[None, :]
    return (
        (np.abs(signed) * worth).sum(axis=1),
        (0.5 * (gross - np.abs(signed)) * worth).sum(axis=1),
        (pairs * worth).sum(axis=1),
    )
