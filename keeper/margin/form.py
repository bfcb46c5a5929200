"""The one mathematical form: scenarios -> P&L -> netting tree -> charges -> collateral -> MM, IM.

A methodology of the scenario family is a configuration of this form; its file in `methods/`
fills one in. M = max(loss + inside charges, floors); MM = mm_factor x M + outside + haircuts;
IM = (im_factor + depeg) x M + outside + haircuts + initial haircuts + doubt of weak quotes.
"""

from dataclasses import dataclass, field

import numpy as np

from keeper.margin.addons import Charged, Charges, charge
from keeper.margin.book import Book, Flags, Floats, Ints, Kind, Market, Result
from keeper.margin.errors import BadNumber, BadShape, not_negative, within
from keeper.margin.lp import Range
from keeper.margin.netting import chunks, held_legs, sums
from keeper.margin.revaluation import Observed, Revaluation, revalue
from keeper.margin.shocks import Shock, VolRule, history_flags
from keeper.margin.tree import Netted, Offsets, Reduction, net


CHUNK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Haircut:
    """One BASE or LP instrument as collateral: shares of its value; initial adds to maintenance.

    Dynamic by volatility when `vol_days` is given: at least `deviations` x vol x sqrt(days / 365)
    of its value. Dynamic by liquidity when `sold_a_day` is given, units the market takes in a day
    without moving: the days that the account's own quantity takes to sell come on top.
    """

    mm: float = 0.0
    im: float = 0.0
    stressed: bool = False
    vol: float = 0.0
    vol_days: float = 0.0
    deviations: float = 0.0
    sold_a_day: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mm", "im"):
            within(f"haircut.{name}", getattr(self, name), 0.0, 1.0)
        for name in ("vol", "vol_days", "deviations", "sold_a_day"):
            not_negative(f"haircut.{name}", getattr(self, name))

    def maintenance(self, quantity: Floats) -> Floats:
        """Return the share of value that does not count for maintenance, (quantity,)."""
        days = np.full(len(quantity), self.vol_days)
        if self.sold_a_day > 0.0:
            days += np.abs(quantity) / self.sold_a_day
        moved = self.deviations * self.vol * np.sqrt(days / 365.0)
        share: Floats = np.minimum(1.0, np.maximum(self.mm, moved))
        return share


@dataclass(frozen=True, slots=True)
class Doubt:
    """What weak quotes and a weak stable coin add to initial margin (Derive's terms)."""

    confidence_threshold: float = 0.0
    confidence_margin: float = 0.0
    peg_threshold: float = 0.0
    peg_factor: float = 0.0

    def factor(self, stable: float) -> float:
        """Return what a depeg adds to the initial factor."""
        return max(0.0, self.peg_threshold - stable) * self.peg_factor


@dataclass(frozen=True, slots=True)
class Assessment:
    """How a requirement came about, USD, (account,); pnl (account, shock), weighted."""

    result: Result
    pnl: Floats
    loss: Floats
    charged: Charged


@dataclass(frozen=True, slots=True)
class Form:
    """`keeper.margin.book.Method` by a configuration.

    haircuts  one for each BASE instrument of the listing, () = none
    ranges    one for each LP instrument of the listing
    inverse   options, perpetuals and futures settle in the coin
    """

    name: str
    shocks: tuple[Shock, ...]
    vol: VolRule = field(default_factory=VolRule)
    offsets: Offsets = field(default_factory=Offsets)
    reduction: Reduction = field(default_factory=Reduction)
    charges: Charges = field(default_factory=Charges)
    haircuts: tuple[Haircut, ...] = ()
    ranges: tuple[Range, ...] = ()
    doubt: Doubt = field(default_factory=Doubt)
    inverse: bool = False
    mm_factor: float = 1.0
    im_factor: float = 1.0

    def __post_init__(self) -> None:
        not_negative("mm_factor", self.mm_factor)
        not_negative("im_factor", self.im_factor)

    @property
    def scenarios(self) -> int:
        """Return how many indexed scenarios there are."""
        return len(self.shocks)

    def require(self, book: Book, market: Market, observed: Observed | None = None) -> Result:
        """Return every account's requirement; `worst` = scenarios where a floor binds."""
        return self.assess(book, market, observed).result

    @np.errstate(all="ignore")  # no number is no error: it becomes `defined` False
    def assess(self, book: Book, market: Market, observed: Observed | None = None) -> Assessment:
        """Return requirement and what it is made of."""
        unit = self._unit(market, observed)
        charged = charge(self.charges, book, market, unit)
        netted = self._netted(book, market, unit)
        needed = np.maximum(netted.loss + charged.inside, charged.floor)
        lowest = netted.pnl.min(axis=1, initial=np.inf) if self.shocks else charged.floor
        index = netted.pnl.argmin(axis=1) if self.shocks else np.zeros(book.accounts, np.int64)
        floor_binds = (charged.floor > netted.loss + charged.inside) | (lowest >= 0.0)
        worst = np.where(floor_binds & (charged.floor > 0.0), self.scenarios, index)
        equity, gross, haircut, extra, sound = self._standing(book, market, unit)
        mm = self.mm_factor * needed + charged.outside + haircut
        im = (self.im_factor + self.doubt.factor(market.stable)) * needed
        im += charged.outside + haircut + extra
        defined = sound & np.isfinite(equity) & np.isfinite(mm) & np.isfinite(im)
        defined &= np.isfinite(gross)
        columns = [np.where(defined, each, 0.0) for each in (equity, mm, im, gross)]
        equity, mm, im, gross = columns
        worst = np.where(defined, worst, 0).astype(np.int64)
        result = Result(equity, mm, im, worst, gross, defined)
        pnl = np.where(defined[:, None], netted.pnl, 0.0)
        return Assessment(result, pnl, np.where(defined, netted.loss, 0.0), charged)

    def ladder(self, book: Book, market: Market) -> Floats:
        """Return weighted P&L, USD, (account, shock + 1); the last is minus the floor."""
        found = self.assess(book, market)
        floor = np.where(found.result.defined, -found.charged.floor, 0.0)
        return np.concatenate((found.pnl, floor[:, None]), axis=1)

    def under_scenario(self, book: Book, market: Market, scenario: Ints) -> Floats:
        """Return the excess as if each account's scenario, netted in full, were the only one."""
        if np.any((scenario < 0) | (scenario >= self.scenarios)):
            raise BadNumber("scenario", scenario, f"pass an index of 0..{self.scenarios - 1}")
        found = self.assess(book, market)
        one = np.maximum(0.0, -found.pnl[np.arange(book.accounts), scenario])
        needed = np.maximum(one + found.charged.inside, found.charged.floor)
        before = np.maximum(found.loss + found.charged.inside, found.charged.floor)
        excess = found.result.excess + self.mm_factor * (before - needed)
        return np.where(found.result.defined, excess, 0.0)

    @np.errstate(all="ignore")
    def greeks(self, book: Book, market: Market) -> Floats:
        """Return delta (coins), gamma, vega, theta, (account, 4)."""
        unit = self._unit(market, None)
        legs = held_legs(book, 0, book.accounts)
        total = np.zeros((book.accounts, 4))
        for row in range(4):
            weights = legs.quantity * unit.greeks[row][legs.instrument]
            total[:, row] = sums(legs.account, weights, book.accounts)
        refused = sums(legs.account, np.where(unit.valid[legs.instrument], 0.0, 1.0), book.accounts)
        total[(refused > 0.0) | ~np.isfinite(total).all(axis=1)] = 0.0
        return total

    def unit_delta(self, market: Market) -> Floats:
        """Return each instrument's delta in coins a unit, (instrument,)."""
        unit = self._unit(market, None)
        delta: Floats = unit.greeks[0]
        return delta

    def valid(self, market: Market) -> Flags:
        """Return which instruments have a number, (instrument,)."""
        return self._unit(market, None).valid

    def _unit(self, market: Market, observed: Observed | None) -> Revaluation:
        return revalue(
            self.shocks, self.vol, market, observed, inverse=self.inverse, ranges=self.ranges
        )

    def _netted(self, book: Book, market: Market, unit: Revaluation) -> Netted:
        """Return joint P&L and loss, in chunks of accounts: temporaries stay in the cache."""
        listing = market.listing
        stressed = np.ones(len(listing.kind), np.bool_)
        base = np.flatnonzero(listing.kind == Kind.BASE)
        stressed[base] = [each.stressed for each in self._haircuts(len(base))]
        weight = np.array([each.weight for each in self.shocks])[:, None]
        weighted = np.where(stressed, unit.pnl, 0.0) * weight
        pnl, loss = np.zeros((book.accounts, self.scenarios)), np.zeros(book.accounts)
        history = history_flags(self.shocks)
        for first, last in chunks(book.start, CHUNK_ROWS):
            found = net(
                _part(book, first, last),
                (listing.expiry, listing.underlying),
                weighted,
                (self.offsets, self.reduction),
                history,
            )
            pnl[first:last], loss[first:last] = found.pnl, found.loss
        return Netted(pnl, loss)

    def _haircuts(self, bases: int) -> tuple[Haircut, ...]:
        if self.haircuts and len(self.haircuts) != bases:
            raise BadShape("haircuts", len(self.haircuts), f"pass one for each of {bases}")
        return self.haircuts or (Haircut(),) * bases

    def _standing(self, book: Book, market: Market, unit: Revaluation) -> tuple[Floats, ...]:
        """Return (equity, gross, haircut, initial extra, sound) of each account."""
        listing, accounts = market.listing, book.accounts
        legs = held_legs(book, 0, accounts)
        kind = listing.kind[legs.instrument]
        worth = legs.quantity * unit.worth[legs.instrument]
        spot = np.where(unit.valid, market.spot[listing.underlying], 0.0)[legs.instrument]
        collateral = kind == Kind.BASE
        notional = np.where(kind >= Kind.BASE, np.abs(worth), np.abs(legs.quantity) * spot)
        initial = np.zeros(len(listing.kind))
        cut = np.zeros(len(legs.instrument))
        base = np.flatnonzero(listing.kind == Kind.BASE)
        for place, each in zip(base, self._haircuts(len(base)), strict=True):
            initial[place] = each.im
            mine = legs.instrument == place
            cut[mine] = each.maintenance(legs.quantity[mine])
        positive = np.where(collateral, np.maximum(worth, 0.0), 0.0)
        weak = self.doubt.confidence_margin * _weakness(self.doubt, market)[legs.instrument]
        extra = positive * initial[legs.instrument] + weak * notional
        refused = sums(legs.account, np.where(unit.valid[legs.instrument], 0.0, 1.0), accounts)
        equity = book.cash + book.carried + sums(legs.account, worth, accounts)
        return (
            equity,
            sums(legs.account, notional, accounts) + np.abs(book.cash),
            sums(legs.account, positive * cut, accounts),
            sums(legs.account, extra, accounts),
            refused == 0.0,
        )


def _weakness(doubt: Doubt, market: Market) -> Floats:
    """Return 1 - confidence where it is below the threshold, (instrument,)."""
    listing, kind = market.listing, market.listing.kind
    confidence = market.spot_confidence[listing.underlying]
    dated = np.append(market.expiry_confidence, 1.0)[listing.expiry]
    confidence = np.where(kind <= Kind.PUT, np.minimum(confidence, dated), confidence)
    perp = market.perp_confidence[listing.underlying]
    confidence = np.where(kind == Kind.PERPETUAL, np.minimum(confidence, perp), confidence)
    confidence = np.where(kind == Kind.BASE, market.confidence, confidence)
    return np.where(confidence < doubt.confidence_threshold, 1.0 - confidence, 0.0)


def _part(book: Book, first: int, last: int) -> Book:
    low, high = int(book.start[first]), int(book.start[last])
    return Book(
        book.start[first : last + 1] - low,
        book.instrument[low:high],
        book.quantity[low:high],
        book.cash[first:last],
        book.carried[first:last],
    )
