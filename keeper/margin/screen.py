"""Screening: who is clear of the line by a proved bound is not computed anew.

A `Screen` remembers one book at one market (the epoch): every account's excess there. On the next
call it asks the method how far one unit of each instrument can have pulled an excess down since
(`pmrm2_fall` has the proof for PMRM_2), and recomputes exactly those whom gross position x that
bound does not clear. Cash and unsettled profit of perpetuals move the excess one for one, so they
are added, not bounded. The answer has the same breaches, the same worst scenarios and figures of
whoever is in breach, the same undefined accounts and the same smallest excess as a full recompute;
figures of cleared accounts are the epoch's. Cost grows with what moved, not with what exists.
The state is this object, the caller's to keep; must not know accounts by name, or which method.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

from keeper.margin.book import Book, Flags, Floats, Market, Result
from keeper.margin.kernel.front import compiled, share
from keeper.margin.kernel.shapes import Lower, Now, Then
from keeper.margin.netting import Places
from keeper.margin.screen_rows import differing, gross_fall, rows_at, same_listing, take


SHARE_MAX: Final = 0.1  # of accounts: beyond, a full recompute is cheaper, and begins an epoch
COLUMNS: Final = tuple(each.name for each in fields(Result))
ROUNDING: Final = 1e-11  # of what is added at account level, far above float error

Priced = Any  # the method's own: handed back to it, never looked into


@runtime_checkable
class Screened(Protocol):
    """A `Method` that can bound what a move of the market does."""

    def price(
        self, book: Book | None, market: Market, last: tuple[Market, Priced] | None = None
    ) -> Priced:
        """Return what all accounts of a market share; it may reuse what `last` shares with it."""

    def require_priced(self, book: Book, market: Market, priced: Priced) -> Result:
        """Return `require` with what `price` returned."""

    def fall(
        self, then: tuple[Market, Priced], now: tuple[Market, Priced]
    ) -> tuple[Floats, Floats] | None:
        """Return (USD of excess one unit can cost, USD of gross notional it counts), (instrument,).

        The second as `Result.gross` counts it at the first market; None where no bound holds.
        """


@dataclass(frozen=True, slots=True)
class Screening:
    """What a call found.

    result  as a full recompute where `exact`; elsewhere a safe figure: cleared, never a breach
    exact   (account,) computed at this market
    """

    result: Result
    exact: Flags

    @property
    def computed(self) -> int:
        """Return how many accounts were computed at this market."""
        return int(np.count_nonzero(self.exact))


@dataclass(frozen=True, slots=True)
class _Epoch:
    """The market all bounds start from, the rows last seen, and what they required there."""

    method: Screened
    market: Market
    priced: Priced
    book: Book
    result: Result


class Screen:
    """Clears accounts of one book from call to call; see the file's head."""

    def __init__(self, share_max: float = SHARE_MAX) -> None:
        self._share_max = share_max
        self._epoch: _Epoch | None = None
        self._last: tuple[Market, Priced] | None = None
        self._nothing = np.zeros(0)
        self._scratch = np.zeros((2, 0))  # memory the system need not hand out every block

    def forget(self) -> None:
        """Begin anew: the next call computes every account."""
        self._epoch = self._last = None

    def require(
        self,
        method: Screened,
        book: Book,
        market: Market,
        extra: Floats | None = None,
        changed: Places | None = None,
        wanted: Flags | None = None,
    ) -> Screening:
        """Return who is in breach, and every figure of whoever is.

        extra  (account,) USD that the caller will add to the excess (accrued interest): an account
               is in breach where excess + extra < 0; None: nothing
        changed  accounts among which are all whose rows differ from the last call's, each once;
               trusted, where None compares every row. Cash and `carried` are always compared
        wanted  (account,) whose figures are wanted exactly, breach or not; None: nobody's
        Raises ValueError where `changed` names no account of the book.
        """
        if changed is not None and np.any((changed < 0) | (changed >= book.accounts)):
            raise ValueError(f"changed: outside 0..{book.accounts - 1}; pass accounts of the book")
        if len(self._nothing) != book.accounts:
            self._nothing, self._scratch = np.zeros(book.accounts), np.zeros((2, book.accounts))
        more = self._nothing if extra is None else extra
        same = self._epoch is not None and self._epoch.method is method
        priced = method.price(None, market, self._last if same else None)
        self._last = _frozen(market), priced
        epoch = self._continued(method, book, market, changed)
        bound = (
            None if epoch is None else method.fall((epoch.market, epoch.priced), (market, priced))
        )
        if epoch is None or bound is None:
            return self._begin(method, book, market, priced)
        self._epoch = epoch
        search = _Search(epoch, book, (market, priced), bound, (more, self._scratch))
        limit = max(1, int(self._share_max * book.accounts))
        asked = np.zeros(0, np.intp) if wanted is None else np.flatnonzero(wanted)
        if not search.clear(limit, asked) or not search.find_least(limit):
            return self._begin(method, book, market, priced)
        return Screening(search.result, search.exact)

    def _begin(self, method: Screened, book: Book, market: Market, priced: Priced) -> Screening:
        """Compute every account, and count from here."""
        result = method.require_priced(book, market, priced)
        self._epoch = _Epoch(method, market, priced, _kept(book), _copied(result))
        return Screening(result, np.ones(book.accounts, np.bool_))

    def _continued(
        self, method: Screened, book: Book, market: Market, named: Places | None
    ) -> _Epoch | None:
        """Return the epoch with this book's rows in it, None where it ends here."""
        epoch = self._epoch
        if epoch is None or epoch.method is not method or epoch.book.accounts != book.accounts:
            return None
        if not same_listing(epoch.market, market):
            return None  # the book's rows name instruments that the epoch's market does not know
        changed = np.flatnonzero(differing(epoch.book, book)) if named is None else named
        if len(changed) > self._share_max * book.accounts:
            return None
        if not len(changed):
            return epoch
        few = take(book, changed)
        found = method.require_priced(few, epoch.market, epoch.priced)
        write(epoch.result, changed, found)
        kept = epoch.book
        if np.array_equal(kept.start, book.start):
            rows, _ = rows_at(book, changed)
            kept.instrument[rows], kept.quantity[rows] = book.instrument[rows], book.quantity[rows]
        else:
            kept = _kept(replace(book, cash=kept.cash, carried=kept.carried))
        kept.cash[changed], kept.carried[changed] = few.cash, few.carried
        return replace(epoch, book=kept)


class _Search:
    """One call: lower bounds first, exact figures where they do not clear."""

    def __init__(
        self,
        epoch: _Epoch,
        book: Book,
        now: tuple[Market, Priced],
        bound: tuple[Floats, Floats],
        more: tuple[Floats, Floats],
    ) -> None:
        self._epoch, self._book, self._now, (self._extra, scratch) = epoch, book, now, more
        self._fall, notional = bound
        with np.errstate(all="ignore"):  # what has no number clears nobody
            steepest = np.where(self._fall > 0.0, self._fall / notional, 0.0).max(initial=0.0)
            self.result = lower_bounds(
                epoch.result, (epoch.book, book), self._extra, float(steepest), scratch
            )
        self._safe, self._low = scratch
        self.exact: Flags = np.zeros(book.accounts, np.bool_)
        self._sharp: Flags = np.zeros(book.accounts, np.bool_)
        self._least = np.inf

    def clear(self, limit: int, asked: Places) -> bool:
        """Compute who may be in breach, and `asked`; return whether that was within `limit`."""
        if not self._compute(asked, limit):
            return False
        doubtful = ~(self._low > 0.0) | ~self._epoch.result.defined
        self._sharpen(np.flatnonzero(doubtful))
        doubtful = ~(self._low > 0.0) | ~self._epoch.result.defined
        return self._compute(np.flatnonzero(doubtful), limit)

    def find_least(self, limit: int) -> bool:
        """Compute whoever may have the smallest excess; return whether no more than `limit`."""
        if self._least < 0.0:
            return True  # whoever may be below zero is computed already
        left = np.where(self.exact, np.inf, self._low) if self.exact.any() else self._low
        if self._least > left.min(initial=np.inf):
            # Who was computed may be far from the line: his excess would clear nobody.
            self._compute(np.array([np.argmin(left)]), limit)
        rivals = np.flatnonzero(~self.exact & (self._low < self._least))
        self._sharpen(rivals)
        return self._compute(rivals[self._low[rivals] < self._least], limit)

    def _sharpen(self, accounts: Places) -> None:
        """Replace the bound by notional with the one row by row."""
        blunt = accounts[~self._sharp[accounts]]
        if len(blunt):
            fall = gross_fall(self._book, blunt, self._fall)
            self._low[blunt] = self._safe[blunt] - fall * (1.0 + ROUNDING)
            self._sharp[blunt] = True

    def _compute(self, accounts: Places, limit: int) -> bool:
        accounts = accounts[~self.exact[accounts]]
        if len(accounts) + np.count_nonzero(self.exact) > limit:
            return False
        if len(accounts):
            market, priced = self._now
            few = take(self._book, accounts)
            found = self._epoch.method.require_priced(few, market, priced)
            write(self.result, accounts, found)
            self.exact[accounts] = True
            excess = (found.excess + self._extra[accounts])[found.defined]
            self._least = min(self._least, float(excess.min(initial=np.inf)))
        return True


def lower_bounds(
    then: Result, books: tuple[Book, Book], extra: Floats, steepest: float, bounds: Floats
) -> Result:
    """Return figures to go on with; fill `bounds` (2, account): excess but rounding, and least.

    then, books  the epoch's result; its book and the one of now
    steepest     USD of excess per USD of gross notional
    A profit of perpetuals is not counted: without one, `carried` is nobody's.
    """
    (before, now), (safe, low) = books, bounds
    loop, n = compiled().bounds, now.accounts
    equity, mm, im, gross = (np.empty(n) for _ in range(4))
    worst, defined = np.empty(n, np.int64), np.empty(n, np.bool_)
    result = Result(equity, mm, im, worst, gross, defined)
    old = Then(
        then.equity,
        then.mm,
        then.im,
        then.worst,
        then.gross,
        then.defined.view(np.uint8),
        before.cash,
        before.carried,
    )
    new = Now(now.cash, now.carried, extra, steepest, ROUNDING)
    out = Lower(equity, mm, im, worst, gross, defined.view(np.uint8), safe, low)
    if loop is not None and share(loop, n, (old, new, out)):
        return result
    shifted = then.equity + (now.cash - before.cash)
    shifted += np.minimum(now.carried - before.carried, 0.0)
    added = np.abs(then.equity) + np.abs(now.cash) + np.abs(before.cash) + np.abs(extra)
    added += np.abs(now.carried) + np.abs(before.carried) + then.mm
    safe[:] = shifted - then.mm + extra - ROUNDING * added
    notional = np.maximum(then.gross - np.abs(before.cash), 0.0) + ROUNDING * then.gross
    result = _copied(then)
    result.equity[:] = np.where(then.defined, shifted, 0.0)
    low[:] = safe - notional * steepest
    return result


def _copied(result: Result) -> Result:
    """Return a copy that may be written into."""
    return Result(
        result.equity.copy(),
        result.mm.copy(),
        result.im.copy(),
        result.worst.copy(),
        result.gross.copy(),
        result.defined.copy(),
    )


def write(result: Result, accounts: Places, found: Result) -> None:
    """Replace some accounts' figures, in place; `found` has a row for each of `accounts`."""
    for name in COLUMNS:
        getattr(result, name)[accounts] = getattr(found, name)


def _kept(book: Book) -> Book:
    """Return a copy: what the caller writes into its arrays later must not go unseen."""
    return Book(
        book.start.copy(),
        book.instrument.copy(),
        book.quantity.copy(),
        book.cash.copy(),
        book.carried.copy(),
    )


def _frozen(market: Market) -> Market:
    """Return a copy for the same reason; the listing is never written into."""
    columns = {each.name: getattr(market, each.name) for each in fields(market)}
    copied: dict[str, Any] = {
        name: each.copy() for name, each in columns.items() if isinstance(each, np.ndarray)
    }
    return replace(market, **copied)
