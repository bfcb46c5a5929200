"""Derive's PMRM_2 portfolio margin for all accounts at once.

Every listed option is priced once per scenario, accounts are sparse rows over that ladder. Here is
the plain numpy path; where numba is, `pmrm2_compiled` answers with the same sums. No account by
name, no chain. Formulae: Derive v2's portfolio manager PMRM_2; section numbers here are those of
the venue's specification (2.1 to 2.7).
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

import numpy as np

from keeper.margin.book import Book, Floats, Ints, Kind, Market, Result
from keeper.margin.kernel.front import THREADS, compiled
from keeper.margin.methods.pmrm2_cells import Cells, cells_of
from keeper.margin.methods.pmrm2_compiled import require_compiled
from keeper.margin.methods.pmrm2_exposure import Exposure, Terms, exposures, terms_of
from keeper.margin.methods.pmrm2_fall import fall
from keeper.margin.methods.pmrm2_ladder import PriceLadder, held_instruments, price_ladder
from keeper.margin.methods.pmrm2_parameters import (
    BasisContingency,
    Collateral,
    MarginFactors,
    OtherContingencies,
    Pmrm2Parameters,
    Scenario,
    SkewShock,
    VolShock,
    VolShockRange,
)
from keeper.margin.methods.pmrm2_reprice import repriced
from keeper.margin.netting import sums
from keeper.margin.pricing import black76_sensitivities


__all__ = [
    "BasisContingency",
    "Collateral",
    "MarginFactors",
    "OtherContingencies",
    "Pmrm2",
    "Pmrm2Parameters",
    "Scenario",
    "SkewShock",
    "VolShock",
    "VolShockRange",
]

CHUNK_ROWS: Final = 65_536  # temporaries stay near a few MiB and inside the cache
FEW_ROWS: Final = 4_096
MARKETS_KEPT: Final = 2  # the chain's quotes and those ahead of them


class Pmrm2:
    """`keeper.margin.book.Method` by PMRM_2; see `Pmrm2Parameters` for what can be set.

    An account is undefined where it holds an unusable instrument, where the chain would
    overflow (a strike below one wei of the forward under a skew scenario), where any number it
    needs is not finite, and everywhere while spot or stable has no positive value: the chain
    reads both for every account.

    threads  of the compiled kernel; 0 takes the numpy path. It changes no bit of any sum; the two
             paths' option values differ by 1e-15 of the forward
    """

    def __init__(
        self, parameters: Pmrm2Parameters, chunk_rows: int = CHUNK_ROWS, threads: int = THREADS
    ) -> None:
        if not parameters.scenarios:
            raise ValueError("scenarios: none given; PMRM_2 needs at least one")
        self.parameters = parameters
        self._chunk_rows = chunk_rows
        self._threads = threads
        self._known: deque[tuple[Market, tuple[PriceLadder, Terms]]] = deque(maxlen=MARKETS_KEPT)
        self._few: tuple[Book, Market, list[tuple[int, int, Exposure]]] | None = None

    @property
    def name(self) -> str:
        """Return the methodology's name."""
        return "derive-pmrm2"

    @property
    def scenarios(self) -> int:
        """Return how many indexed scenarios there are."""
        return len(self.parameters.scenarios)

    def require(self, book: Book, market: Market) -> Result:
        """Return every account's requirement (section 2.7); `worst` = the first worst index."""
        return self.require_priced(book, market, self.price(book, market))

    def price(
        self,
        book: Book | None,
        market: Market,
        last: tuple[Market, tuple[PriceLadder, Terms]] | None = None,
    ) -> tuple[PriceLadder, Terms]:
        """Return ladder and terms: of what `book` holds, or of everything listed.

        last  a market and its answer, of everything listed: what did not move since is not priced
              anew, and no bit differs
        """
        if last is not None and self._compiled:
            found = repriced(self.parameters, last, market, self._compiled)
            if found is not None:
                self._known.appendleft((market, found))
                return found
        held = None
        if book is not None and not self._compiled:  # who compiles prices faster than it counts
            held = held_instruments(book, len(market.listing.kind))
        with np.errstate(all="ignore"):
            ladder = price_ladder(self.parameters, market, held, self._compiled)
            found = ladder, terms_of(self.parameters, market)
        if held is None:  # everything listed was priced: what is asked of it next is known
            self._known.appendleft((market, found))
        return found

    def require_priced(
        self, book: Book, market: Market, priced: tuple[PriceLadder, Terms]
    ) -> Result:
        """Return the requirement with a ladder from `price` of the same market."""
        with np.errstate(all="ignore"):  # no number is no error: it becomes `defined` False
            result = None
            if self._compiled:
                result = require_compiled(self.parameters, book, market, priced, self._threads)
            return result or self._require_numpy(book, market, priced)

    def fall(
        self,
        then: tuple[Market, tuple[PriceLadder, Terms]],
        now: tuple[Market, tuple[PriceLadder, Terms]],
    ) -> tuple[Floats, Floats] | None:
        """Return what one unit can cost, and its notional then, USD: for `keeper.margin.screen`."""
        with np.errstate(all="ignore"):  # what has no number clears nobody
            found = fall(self.parameters, then, now)
        return None if found is None else (found, then[1][1].notional)

    def cells(self, book: Book, market: Market) -> Cells | None:
        """Return what answers many moves of this market at once; None: ask `require` for each."""
        with np.errstate(all="ignore"):
            return cells_of(self.parameters, book, market) if self._compiled else None

    def _require_numpy(
        self, book: Book, market: Market, priced: tuple[PriceLadder, Terms]
    ) -> Result:
        n = book.accounts
        equity, mm, im, gross = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
        worst, defined = np.full(n, self.scenarios, np.int64), np.zeros(n, np.bool_)
        other, margin = self.parameters.other, self.parameters.margin
        depeg = max(0.0, other.peg_loss_threshold - market.stable) * other.peg_loss_factor
        parts = exposures(self.parameters, book, market, priced, self._chunk_rows)
        for first, last, chunk in parts:
            here = slice(first, last)
            span = chunk.basis.copy()
            for index in range(self.scenarios):
                pnl = chunk.pnl(index)
                worst[here][pnl < span] = index
                np.minimum(span, pnl, out=span)  # lets NaN through, to be caught below
            equity[here] = chunk.equity
            mm[here] = chunk.mm_contingency - span * margin.mm_factor
            im[here] = (
                chunk.mm_contingency + chunk.im_contingency - span * (margin.im_factor + depeg)
            )
            gross[here], defined[here] = chunk.gross, chunk.defined
        defined &= np.isfinite(equity) & np.isfinite(mm) & np.isfinite(im) & np.isfinite(gross)
        worst[~defined] = 0
        for column in (equity, mm, im, gross):
            column[~defined] = 0.0
        return Result(equity, mm, im, worst, gross, defined)

    @np.errstate(all="ignore")  # no number is no error: it becomes `defined` False
    def ladder(self, book: Book, market: Market) -> Floats:
        """Return stressed P&L, USD, (account, scenario + 1); the last column is the basis."""
        pnl = np.zeros((book.accounts, self.scenarios + 1))
        for first, last, chunk in self._chunks(book, market):
            for index in range(self.scenarios):
                pnl[first:last, index] = chunk.pnl(index)
            pnl[first:last, -1] = chunk.basis
            pnl[first:last][~chunk.defined] = 0.0
        pnl[~np.isfinite(pnl).all(axis=1)] = 0.0
        return pnl

    @np.errstate(all="ignore")  # no number is no error: it becomes `defined` False
    def under_scenario(self, book: Book, market: Market, scenario: Ints) -> Floats:
        """Return the excess, USD, (account,), as if each account's `scenario` were the only one."""
        if np.any((scenario < 0) | (scenario >= self.scenarios)):
            raise ValueError(f"scenario: outside 0..{self.scenarios - 1}; pass an indexed one")
        excess = np.zeros(book.accounts)
        for first, last, chunk in self._chunks(book, market):
            asked = scenario[first:last]
            span = chunk.basis.copy()
            for index in np.flatnonzero(np.bincount(asked, minlength=self.scenarios)):
                span = np.where(asked == index, np.minimum(span, chunk.pnl(int(index))), span)
            required = chunk.mm_contingency - span * self.parameters.margin.mm_factor
            value = chunk.equity - required
            excess[first:last] = np.where(chunk.defined & np.isfinite(value), value, 0.0)
        return excess

    @np.errstate(all="ignore")  # no number is no error: it becomes `defined` False
    def greeks(self, book: Book, market: Market) -> Floats:
        """Return delta (coins), gamma, vega (per 1.0 of vol), theta (a year), (account, 4).

        Spot moves as in a scenario: the variable part of each forward, the perpetual and the
        risk-cancelling collateral move in proportion.
        """
        totals = np.zeros((book.accounts, 4))
        unit = _unit_greeks(self.parameters, market)
        for first, last, chunk in self._chunks(book, market):
            legs = chunk.legs
            for index in range(4):
                weights = legs.quantity * unit[index][legs.instrument]
                totals[first:last, index] = sums(legs.account, weights, last - first)
            totals[first:last][~chunk.defined] = 0.0
        totals[~np.isfinite(totals).all(axis=1)] = 0.0
        return totals

    def _chunks(self, book: Book, market: Market) -> Iterator[tuple[int, int, Exposure]]:
        """Return the parts of a book; those of a few accounts serve until other ones are asked."""
        if self._few is not None and self._few[0] is book and self._few[1] is market:
            return iter(self._few[2])
        known = (priced for each, priced in tuple(self._known) if each is market)
        priced = next(known, None) or self.price(book, market)
        parts = exposures(self.parameters, book, market, priced, self._chunk_rows)
        if len(book.instrument) > FEW_ROWS:
            return parts
        self._few = (book, market, list(parts))
        return iter(self._few[2])

    @property
    def _compiled(self) -> int:
        """Return the kernel's threads, 0 where it is not to be used or not there."""
        return self._threads if self._threads and not compiled().reason else 0


def _unit_greeks(parameters: Pmrm2Parameters, market: Market) -> Floats:
    """Return the Greeks of one unit of each instrument, (4, instrument)."""
    listing, spot = market.listing, market.spot[parameters.underlying]
    unit = np.zeros((4, len(listing.kind)))
    options = np.flatnonzero(listing.kind <= Kind.PUT)
    expiry = listing.expiry[options]
    variable = market.forward_variable[expiry]
    option = black76_sensitivities(
        market.forward_fixed[expiry] + variable,
        listing.strike[options],
        market.seconds[expiry],
        market.vol[options],
        market.rate[expiry],
        listing.kind[options] == Kind.CALL,
    )
    share = variable / spot  # USD of forward per USD of spot
    unit[0, options], unit[1, options] = option.delta * share, option.gamma * share * share
    unit[2, options], unit[3, options] = option.vega, option.theta
    perpetual = listing.kind == Kind.PERPETUAL
    unit[0, perpetual] = market.perp_price[parameters.underlying] / spot
    base = np.flatnonzero(listing.kind == Kind.BASE)
    cancelling = np.array([each.risk_cancelling for each in parameters.collateral], np.bool_)
    unit[0, base] = np.where(cancelling, market.price[base] / (market.stable * spot), 0.0)
    return unit
