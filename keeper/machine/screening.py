"""Who of a large book need not be computed on this block: cleared by a proved bound. Pure.

A screen is no state of the chain: its answer is right for whatever book and market it is given
(`keeper.margin.screen` has the proof), so no reorg, restart or replay has anything to take back,
and what is decided is the same, to the bit, with it and without. Must not know venues' rules.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from keeper.margin.book import Book, Flags, Floats, Market, Method, Result
from keeper.margin.screen import COLUMNS, SHARE_MAX, Screen, Screened, write
from keeper.margin.screen_rows import take
from keeper.venue import Margined


# Pricing a listing and bounding its moves costs what some 15,000 accounts do: docs/performance.md.
SCREENED_FROM: Final = 20_000

AHEAD: Final = "ahead"
Key = tuple[str | int, ...]  # venue and number of the book; and `AHEAD` for the quotes ahead


class Screens:
    """The screens of all books, by key; a key that comes to name another book costs time only.

    `cleared` counts the accounts that a bound cleared, of all blocks.
    """

    def __init__(self, accounts_min: int = SCREENED_FROM, share_max: float = SHARE_MAX) -> None:
        self._accounts_min, self._share_max = accounts_min, share_max
        self._kept: dict[Key, Screen] = {}
        self.cleared = 0

    def require(
        self,
        key: Key,
        method: Method,
        at: tuple[Book, Market],
        extra: Floats,
        wanted: Flags,
    ) -> tuple[Result, Flags | None]:
        """Return a book's results, and who was cleared by a bound, (account,); None: nobody.

        extra   (account,) USD that accrued and is not stored: a breach is excess + extra < 0
        wanted  (account,) whose figures are needed whether they are in breach or not
        Of who was cleared the figures are those last computed, moved by cash: never a breach, and
        never the smallest excess, but not this block's.
        """
        book, market = at
        if book.accounts < self._accounts_min or not isinstance(method, Screened):
            self._kept.pop(key, None)
            return method.require(book, market), None
        screen = self._kept.setdefault(key, Screen(self._share_max))
        found = screen.require(method, book, market, extra, wanted=wanted)
        self.cleared += book.accounts - found.computed
        return found.result, None if found.exact.all() else ~found.exact


def compute(margined: Margined, rows: Sequence[int]) -> None:
    """Compute those of these rows of the book that a bound cleared, in place: this block's figures.

    Who shows an account's figures, or compares them, asks for this first; no decision rests on it.
    """
    if margined.cleared is None:
        return
    asked = np.unique(np.array(rows, np.int64))
    left = asked[margined.cleared[asked]]
    if not len(left):
        return
    held, stored, accrued = margined.book, margined.stored, margined.accrued
    write(stored, left, held.method.require(take(held.book, left), held.market))
    # Who leads has figures already, on the quotes ahead, and is only looked up on the chain's.
    plain = left if margined.leads is None else left[~margined.leads[left]]
    for name in COLUMNS:
        getattr(accrued, name)[plain] = getattr(stored, name)[plain]
    accrued.equity[plain] += held.accrued[plain]  # nobody without a number was cleared
    margined.cleared[left] = False
