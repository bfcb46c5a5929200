"""Which accounts of a venue are audited next: those nearest the line, and the rest in turn.

Must not know what is asked of them or who answers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keeper.domain.units import AccountId
from keeper.margin.book import Floats, Ints
from keeper.venue import Margined


NEVER = -1


class Place(NamedTuple):
    """Where an account stands: which book, which row of it."""

    book: int
    row: int


class Roster:
    """When each account last agreed with the chain, by block number; all (account,), ascending."""

    def __init__(self) -> None:
        self._met: tuple[Ints, ...] = ()
        self._accounts = np.zeros(0, np.int64)
        self._book = np.zeros(0, np.int64)
        self._row = np.zeros(0, np.int64)
        self._agreed = np.zeros(0, np.int64)
        self._last: AccountId = 0  # whose turn it was

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def oldest(self) -> int:
        """Return the block since which everybody has agreed, `NEVER` where somebody never has."""
        return int(self._agreed.min(initial=np.iinfo(np.int64).max)) if len(self) else NEVER

    def meet(self, margined: Sequence[Margined]) -> None:
        """Take over the accounts of a venue's books; who was met before keeps what is known."""
        books = tuple(each.book.accounts for each in margined)
        if len(books) == len(self._met) and all(
            now is then for now, then in zip(books, self._met, strict=True)
        ):
            return  # a book's accounts are the same array until somebody comes or goes
        self._met = books
        accounts = np.concatenate([np.zeros(0, np.int64), *books])
        order = np.argsort(accounts, kind="stable")
        sizes = [len(each) for each in books]
        self._book = np.repeat(np.arange(len(books)), sizes)[order]
        self._row = np.concatenate([np.zeros(0, np.int64), *map(np.arange, sizes)])[order]
        before, agreed = self._accounts, self._agreed
        self._accounts = accounts[order]
        self._agreed = np.full(len(accounts), NEVER, np.int64)
        known = np.isin(self._accounts, before)
        self._agreed[known] = agreed[np.searchsorted(before, self._accounts[known])]

    def nearest(self, margined: Sequence[Margined], count: int) -> list[Place]:
        """Return the accounts whose excess is the smallest share of what they hold, either way.

        Who was cleared by a bound stands where its last figures put it: this is an order of whom to
        ask, and what is compared is computed first (`keeper.machine.compute`).
        """
        if not count or not len(self):
            return []
        distance = np.concatenate([_distance(each) for each in margined])
        starts = np.cumsum([0, *(len(each.book.accounts) for each in margined)])
        count = min(count, len(distance))
        found = np.argpartition(distance, count - 1)[:count]
        found = found[np.isfinite(distance[found])]
        found = found[np.argsort(distance[found], kind="stable")]
        books = np.searchsorted(starts, found, side="right") - 1
        places = zip(books.tolist(), (found - starts[books]).tolist(), strict=True)
        return [Place(book, row) for book, row in places]

    def turn(self, count: int, since: int | None = None) -> list[Place]:
        """Return the next so many, in order of account; only who has not agreed since a block."""
        waiting = np.arange(len(self)) if since is None else np.flatnonzero(self._agreed < since)
        if not count or not len(waiting):
            return []
        first = int(np.searchsorted(self._accounts[waiting], self._last, side="right"))
        chosen = np.roll(waiting, -first)[:count]
        self._last = int(self._accounts[chosen[-1]])
        places = zip(self._book[chosen].tolist(), self._row[chosen].tolist(), strict=True)
        return [Place(book, row) for book, row in places]

    def agree(self, accounts: Sequence[AccountId], number: int) -> None:
        """Note who agreed at a block; who is not met any more is forgotten."""
        asked = np.array(accounts, np.int64)
        known = asked[np.isin(asked, self._accounts)]
        self._agreed[np.searchsorted(self._accounts, known)] = number

    def differ(self, account: AccountId) -> None:
        """Note that an account has not agreed, whenever it did before."""
        self._agreed[self._accounts == account] = NEVER

    def forget_after(self, number: int) -> None:
        """Take back what was learned on blocks that left the chain."""
        self._agreed[self._agreed > number] = NEVER


def _distance(margined: Margined) -> Floats:
    """Return |excess| as a share of gross notional, infinite where there is none, (account,)."""
    result = margined.accrued
    gross = np.maximum(result.gross, 1.0)
    return np.where(result.defined, np.abs(result.excess) / gross, np.inf)
