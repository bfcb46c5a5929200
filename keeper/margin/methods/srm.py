"""Derive's standard manager (SRM): every market in one account, each margined on its own.

Exact. Source: the venue's specification, section 3. No scenarios: rates on perpetuals, per option
rules with a largest loss at expiry, haircuts on bases. One Python pass over each account's
expiries: an account holds at most 48 assets.
"""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from keeper.margin.book import Book, Floats, Ints, Kind, Market, Result
from keeper.margin.errors import BadNumber, BadShape
from keeper.margin.form import Form
from keeper.margin.netting import held_legs, sums
from keeper.margin.pricing import black76


@dataclass(frozen=True, slots=True)
class SrmRules:
    """One market's settings; defaults are the venue's for ETH."""

    perp_mm: float = 0.065
    perp_im: float = 0.10
    max_spot: float = 0.15
    min_spot: float = 0.13
    call_mm: float = 0.09
    put_mm: float = 0.09
    put_mm_mark: float = 0.09
    unpaired_mm: float = 1.1
    unpaired_im: float = 1.2
    mm_offset: float = 1.05
    base_factor: float = 0.8
    base_im_scale: float = 0.9375
    perp_threshold: float = 0.55
    option_threshold: float = 0.55
    base_threshold: float = 0.55
    doubt: float = 1.0


@dataclass(frozen=True, slots=True)
class _Leg:
    kind: int
    strike: float
    quantity: float
    mark: float


class Srm:
    """`keeper.margin.book.Method` by the standard manager.

    rules  one for each underlying of the market; peg = (threshold, factor)
    """

    def __init__(self, rules: tuple[SrmRules, ...], peg: tuple[float, float] = (0.99, 2.0)) -> None:
        if not rules:
            raise BadShape("rules", (), "pass one for each underlying")
        self.rules = rules
        self.peg = peg

    @property
    def name(self) -> str:
        """Return the methodology's name."""
        return "derive-srm"

    @property
    def scenarios(self) -> int:
        """Return zero: there is none."""
        return 0

    @np.errstate(all="ignore")  # no number is no error: it becomes `defined` False
    def require(self, book: Book, market: Market) -> Result:
        """Return every account's requirement: equity less the venue's margin."""
        if len(self.rules) != len(market.spot):
            raise BadShape("rules", len(self.rules), f"pass {len(market.spot)}")
        listing, n = market.listing, book.accounts
        legs = held_legs(book, 0, n)
        kind, where = listing.kind[legs.instrument], listing.underlying[legs.instrument]
        worth = _worth(market)
        marked = legs.quantity * worth[legs.instrument]
        equity = book.cash + book.carried + sums(legs.account, marked, n)
        valid = Form("sound", ()).valid(market) & np.isfinite(worth)
        valid &= (listing.kind <= Kind.PERPETUAL) | (listing.kind == Kind.BASE)
        refused = sums(legs.account, np.where(valid[legs.instrument], 0.0, 1.0), n)
        mm, im = np.zeros(n), np.zeros(n)
        depeg = max(0.0, self.peg[0] - market.stable) * self.peg[1]
        sound = (refused == 0.0)[legs.account]
        for row in np.flatnonzero(sound):
            if kind[row] > Kind.PUT:
                owner, held = legs.account[row], float(legs.quantity[row])
                one, other = self._linear(int(kind[row]), int(where[row]), held, market, depeg)
                mm[owner] += one
                im[owner] += other
        order = [int(row) for row in np.flatnonzero(sound & (kind <= Kind.PUT))]
        dates = listing.expiry[legs.instrument]
        order.sort(key=lambda row: (legs.account[row], where[row], dates[row]))
        for (owner, place, date), rows in groupby(
            order, key=lambda row: (int(legs.account[row]), int(where[row]), int(dates[row]))
        ):
            leaf = [
                _Leg(
                    int(kind[row]),
                    float(listing.strike[legs.instrument[row]]),
                    float(legs.quantity[row]),
                    float(marked[row]),
                )
                for row in rows
            ]
            one, other = self._options(leaf, place, date, market, depeg)
            mm[owner] += one
            im[owner] += other
        notional = np.where(kind == Kind.BASE, np.abs(marked), np.abs(legs.quantity))
        notional *= np.where(kind == Kind.BASE, 1.0, market.spot[where])
        gross = sums(legs.account, notional, n) + np.abs(book.cash)
        defined = (refused == 0.0) & np.isfinite(equity + mm + im + gross)
        columns = [np.where(defined, each, 0.0) for each in (equity, mm, im, gross)]
        equity, mm, im, gross = columns
        return Result(equity, mm, im, np.zeros(n, np.int64), gross, defined)

    def ladder(self, book: Book, market: Market) -> Floats:
        """Return minus the maintenance margin, (account, 1): there are no scenarios."""
        return -self.require(book, market).mm[:, None]

    def under_scenario(self, book: Book, market: Market, scenario: Ints) -> Floats:
        """Return the excess: the venue ignores the scenario it is told."""
        if len(scenario) != book.accounts:
            raise BadNumber("scenario", len(scenario), "pass one for each account; it is ignored")
        return self.require(book, market).excess

    def greeks(self, book: Book, market: Market) -> Floats:
        """Return delta, gamma, vega, theta, (account, 4)."""
        return Form(self.name, ()).greeks(book, market)

    def _linear(
        self, kind: int, place: int, quantity: float, market: Market, depeg: float
    ) -> tuple[float, float]:
        """Return (mm, im) of a perpetual or a base."""
        rules, spot, sure = self.rules[place], market.spot[place], market.spot_confidence[place]
        size = abs(quantity)
        if kind == Kind.PERPETUAL:
            price = market.perp_price[place]
            im = size * price * rules.perp_im + depeg * spot * size
            sure = min(sure, market.perp_confidence[place])
            if sure < rules.perp_threshold:
                im += (1.0 - sure) * rules.doubt * spot * size
            return float(size * price * rules.perp_mm), float(im)
        value = quantity * spot
        kept = value * rules.base_factor
        allowed = kept * rules.base_im_scale
        if allowed != 0.0 and sure < rules.base_threshold:
            allowed -= (1.0 - sure) * rules.doubt * value
        worth = value / market.stable
        return float(worth - kept), float(worth - allowed)

    def _options(
        self, leaf: list[_Leg], place: int, date: int, market: Market, depeg: float
    ) -> tuple[float, float]:
        """Return (mm, im) of one expiry: mark less max(isolated sum, largest loss)."""
        rules, spot = self.rules[place], float(market.spot[place])
        forward = float(market.forward_fixed[date] + market.forward_variable[date])
        isolated = [_isolated(each, rules, spot) for each in leaf]
        loss = min(
            min(0.0, sum(_payoff(each, price) for each in leaf))
            for price in (0.0, *(each.strike for each in leaf))
        )
        calls = min(0.0, sum(each.quantity for each in leaf if each.kind == Kind.CALL))
        mm = max(sum(a for a, _ in isolated), loss + rules.unpaired_mm * forward * calls)
        im = max(sum(b for _, b in isolated), loss + rules.unpaired_im * forward * calls)
        short = sum(max(0.0, -each.quantity) for each in leaf)
        sure = min(float(market.spot_confidence[place]), float(market.expiry_confidence[date]))
        if sure < rules.option_threshold:
            im -= (1.0 - sure) * rules.doubt * spot * short
        im -= depeg * spot * short
        mark = sum(each.mark for each in leaf)
        return mark - mm, mark - im


def _isolated(leg: _Leg, rules: SrmRules, spot: float) -> tuple[float, float]:
    """Return (MM, IM) of one option on its own, <= 0; a long counts nothing."""
    if leg.quantity >= 0.0:
        return 0.0, 0.0
    call = leg.kind == Kind.CALL
    out = max(0.0, leg.strike - spot if call else spot - leg.strike) / spot
    im = leg.mark + max(rules.max_spot - out, rules.min_spot) * spot * leg.quantity
    if call:
        return leg.mark + rules.call_mm * spot * leg.quantity, im
    mm = leg.mark + min(rules.put_mm * spot * leg.quantity, rules.put_mm_mark * leg.mark)
    return mm, min(im, mm * rules.mm_offset)


def _payoff(leg: _Leg, price: float) -> float:
    inner = price - leg.strike if leg.kind == Kind.CALL else leg.strike - price
    return leg.quantity * max(0.0, inner)


def _worth(market: Market) -> Floats:
    """Return one unit's value at mark: options undiscounted, bases at spot over the stable coin."""
    listing, kind = market.listing, market.listing.kind
    worth = np.zeros(len(kind))
    option, base = np.flatnonzero(kind <= Kind.PUT), kind == Kind.BASE
    expiry = listing.expiry[option]
    worth[option] = black76(
        market.forward_fixed[expiry] + market.forward_variable[expiry],
        listing.strike[option],
        market.seconds[expiry],
        market.vol[option],
        np.ones(len(option)),
        kind[option] == Kind.CALL,
    )
    worth[base] = (market.spot[listing.underlying] / market.stable)[base]
    return worth
