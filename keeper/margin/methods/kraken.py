"""Kraken-style portfolio margin: the stress is on the delta-hedged book.

OUTLINE. The demo document gives 23 scenarios (moves to 15 %, extremes at 45 %) and the parts:
delta-hedged stress, absolute option delta, net delta, futures margin, netting across assets; it
does not print the charges' rates, which are arguments without defaults.
"""

from dataclasses import dataclass, replace

import numpy as np

from keeper.margin.addons import Charges
from keeper.margin.book import Book, Floats, Ints, Market, Result
from keeper.margin.form import Assessment, Form
from keeper.margin.netting import held_legs, sums
from keeper.margin.shocks import Shock, grid, ladder_moves


def shocks(vol: float, cover: float) -> tuple[Shock, ...]:
    """Return 7 moves x 3 vols and both extremes, 23 in all; vol range and cover not published."""
    body = grid(ladder_moves(0.15, 3), (vol, 0.0, -vol))
    return (*body, *(Shock(spot=side * 0.45, weight=cover) for side in (-1.0, 1.0)))


@dataclass(frozen=True, slots=True)
class DeltaHedged:
    """`Method`: each account's net delta is first hedged away at spot, then charged on its own.

    form    scenarios and charges; its `delta_net` floor becomes the charge on the net delta
    """

    form: Form
    net_delta: float

    @property
    def name(self) -> str:
        """Return the methodology's name."""
        return "kraken"

    @property
    def scenarios(self) -> int:
        """Return how many indexed scenarios there are."""
        return self.form.scenarios

    def require(self, book: Book, market: Market) -> Result:
        """Return requirements: hedged stress + inside charges + net delta charge."""
        found, hedged, net = self._parts(book, market)
        before = np.maximum(found.loss + found.charged.inside, found.charged.floor)
        loss = np.maximum(0.0, -hedged.min(axis=1, initial=0.0))
        needed = np.maximum(loss + found.charged.inside, found.charged.floor) + net
        change = np.where(found.result.defined, needed - before, 0.0)
        result = found.result
        worst = np.where(result.defined, hedged.argmin(axis=1), 0).astype(np.int64)
        mm, im = self.form.mm_factor * change, self.form.im_factor * change
        return replace(result, mm=result.mm + mm, im=result.im + im, worst=worst)

    def ladder(self, book: Book, market: Market) -> Floats:
        """Return P&L of the hedged book; the last column is minus the net delta charge."""
        found, hedged, net = self._parts(book, market)
        both = np.concatenate((hedged, -net[:, None]), axis=1)
        return np.where(found.result.defined[:, None], both, 0.0)

    def under_scenario(self, book: Book, market: Market, scenario: Ints) -> Floats:
        """Return the excess under one scenario each."""
        found, hedged, _ = self._parts(book, market)
        result = self.require(book, market)
        one = np.maximum(0.0, -hedged[np.arange(book.accounts), scenario])
        loss = np.maximum(0.0, -hedged.min(axis=1, initial=0.0))
        excess = result.excess + self.form.mm_factor * (loss - one)
        return np.where(found.result.defined, excess, 0.0)

    def greeks(self, book: Book, market: Market) -> Floats:
        """Return the unhedged book's Greeks."""
        return self.form.greeks(book, market)

    def _parts(self, book: Book, market: Market) -> tuple[Assessment, Floats, Floats]:
        """Return the plain assessment, hedged P&L (account, shock), net delta charge (account,)."""
        found = self.form.assess(book, market)
        legs = held_legs(book, 0, book.accounts)
        width = len(market.spot)
        one = Form("delta", (Shock(spot=0.0),))
        hedged, charge = found.pnl.copy(), np.zeros(book.accounts)
        unit = one.unit_delta(market)[legs.instrument] * legs.quantity
        key = legs.account * width + market.listing.underlying[legs.instrument]
        spot = np.where(np.isfinite(market.spot), market.spot, 0.0)
        delta = sums(key, unit, book.accounts * width).reshape(book.accounts, width) * spot
        for index, shock in enumerate(self.form.shocks):
            hedged[:, index] -= delta.sum(axis=1) * shock.spot * shock.weight
        charge = self.net_delta * np.abs(delta).sum(axis=1)
        return found, hedged, np.where(found.result.defined, charge, 0.0)


def method(vol: float, cover: float, net_delta: float, charges: Charges) -> DeltaHedged:
    """Return the outline with the operator's rates."""
    return DeltaHedged(Form("kraken", shocks(vol, cover), charges=charges), net_delta)
