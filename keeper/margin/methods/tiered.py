"""Cross margin by notional tiers: the form with no scenarios at all (Hyperliquid, Binance, Bybit).

Exact for perpetuals and futures; options and LP positions leave their account undefined: these
venues margin them elsewhere. Formulae: `keeper.margin.tiers`.
"""

from dataclasses import dataclass

import numpy as np

from keeper.margin.book import Book, Floats, Ints, Kind, Market, Result
from keeper.margin.errors import BadNumber, not_negative
from keeper.margin.form import Form
from keeper.margin.netting import held_legs, sums
from keeper.margin.tiers import Tier


@dataclass(frozen=True, slots=True)
class Tiered:
    """`keeper.margin.book.Method`: MM = sum of tier maintenance, IM = initial x MM.

    Hyperliquid's maintenance rate is half of the initial one at full leverage: initial = 2.
    """

    name: str
    tiers: tuple[Tier, ...]
    initial: float = 2.0

    def __post_init__(self) -> None:
        if not self.tiers:
            raise BadNumber("tiers", 0, "pass at least one tier")
        not_negative("initial", self.initial)

    @property
    def scenarios(self) -> int:
        """Return zero: there is none."""
        return 0

    @np.errstate(all="ignore")  # no number is no error: it becomes `defined` False
    def require(self, book: Book, market: Market) -> Result:
        """Return every account's requirement."""
        listing, n = market.listing, book.accounts
        plain = Form(self.name, ())
        unit = plain.require(book, market)
        legs = held_legs(book, 0, n)
        kind = listing.kind[legs.instrument]
        price = np.zeros(len(listing.kind))
        perp = listing.kind == Kind.PERPETUAL
        price[perp] = market.perp_price[listing.underlying][perp]
        dated = np.flatnonzero(listing.kind == Kind.FUTURE)
        expiry = listing.expiry[dated]
        price[dated] = market.forward_fixed[expiry] + market.forward_variable[expiry]
        notional = np.abs(legs.quantity) * price[legs.instrument]
        lowers = np.array([each.lower for each in self.tiers])
        place = np.clip(np.searchsorted(lowers, notional, side="right") - 1, 0, None)
        rate = np.array([each.rate for each in self.tiers])[place]
        deduction = np.array([each.deduction for each in self.tiers])[place]
        linear = (kind == Kind.PERPETUAL) | (kind == Kind.FUTURE)
        mm = sums(legs.account, np.where(linear, notional * rate - deduction, 0.0), n)
        foreign = (kind <= Kind.PUT) | (kind == Kind.LP)
        defined = unit.defined & (sums(legs.account, np.where(foreign, 1.0, 0.0), n) == 0.0)
        defined &= np.isfinite(mm)
        mm = np.where(defined, mm, 0.0)
        equity, gross = np.where(defined, unit.equity, 0.0), np.where(defined, unit.gross, 0.0)
        return Result(equity, mm, mm * self.initial, np.zeros(n, np.int64), gross, defined)

    def ladder(self, book: Book, market: Market) -> Floats:
        """Return minus the maintenance margin, (account, 1): there are no scenarios."""
        return -self.require(book, market).mm[:, None]

    def under_scenario(self, book: Book, market: Market, scenario: Ints) -> Floats:
        """Return the excess; there is no scenario to be under."""
        if len(scenario) != book.accounts:
            raise BadNumber("scenario", len(scenario), "pass one for each account; it is ignored")
        return self.require(book, market).excess

    def greeks(self, book: Book, market: Market) -> Floats:
        """Return delta, gamma, vega, theta, (account, 4)."""
        return Form(self.name, ()).greeks(book, market)
