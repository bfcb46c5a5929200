"""From sparse rows to leaves: which legs of an account net against each other.

A leaf is one account's options of one expiry; a rung is one strike inside a leaf. Sums run in
row order by `bincount`, so their bits depend neither on threads nor on the neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keeper.margin.book import Book, Flags, Floats, Indices, Ints, Listing


Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Legs:
    """Rows that are held, of neighbouring accounts.

    account     (leg,) counted from the first account of the chunk
    instrument  (leg,) row of the listing
    quantity    (leg,) never 0.0
    """

    account: Places
    instrument: Places
    quantity: Floats

    def where(self, flags: Flags) -> "Legs":
        """Return the legs with a True flag, order kept."""
        if flags.all():
            return self
        rows = np.flatnonzero(flags)
        return Legs(self.account[rows], self.instrument[rows], self.quantity[rows])


@dataclass(frozen=True, slots=True)
class Leaves:
    """The (account, expiry) groups of some option legs.

    of_leg   (leg,) the leaf a leg belongs to
    account  (leaf,) ascending
    expiry   (leaf,)
    """

    of_leg: Places
    account: Places
    expiry: Places

    def net(self, weights: Floats) -> Floats:
        """Return the sum of `weights` (leg,) in each leaf, (leaf,)."""
        return sums(self.of_leg, weights, len(self.account))


def sums(place: Places, weights: Floats, count: int) -> Floats:
    """Return the sum of `weights` at each place in 0..count-1, added in row order."""
    return np.bincount(place, weights, count).astype(np.float64, copy=False)


def chunks(start: Ints, rows_max: int) -> Iterator[tuple[int, int]]:
    """Yield account ranges of at most `rows_max` rows each; one larger account stands alone.

    Never more than rows_max / 4 accounts either: empty ones take room too.
    """
    first, accounts = 0, len(start) - 1
    while first < accounts:
        last = int(np.searchsorted(start, start[first] + rows_max, side="right")) - 1
        last = min(max(last, first + 1), first + max(rows_max // 4, 1), accounts)
        yield first, last
        first = last


def held_legs(book: Book, first: int, last: int) -> Legs:
    """Return the legs of accounts first..last-1; rows of quantity 0.0 are not held."""
    low, high = int(book.start[first]), int(book.start[last])
    quantity = book.quantity[low:high]
    account = np.repeat(np.arange(last - first), np.diff(book.start[first : last + 1]))
    legs = Legs(account, book.instrument[low:high].astype(np.intp), quantity)
    return legs.where(quantity != 0.0)


def group_leaves(legs: Legs, expiry: Indices, accounts: int, expiries: int) -> Leaves:
    """Return the leaves of option legs; `expiry` is the listing's, (instrument,)."""
    key = legs.account * expiries + expiry[legs.instrument]
    present = np.bincount(key, minlength=accounts * expiries) > 0
    place = np.cumsum(present) - 1
    keys = np.flatnonzero(present)
    return Leaves(place[key], keys // max(expiries, 1), keys % max(expiries, 1))


def strike_ranks(listing: Listing) -> Places:
    """Return the same number for a call and a put of one expiry and strike, (instrument,)."""
    if not len(listing.kind):
        return np.zeros(0, np.intp)
    order = np.lexsort((listing.strike, listing.expiry))
    expiry, strike = listing.expiry[order], listing.strike[order]
    fresh = (expiry[1:] != expiry[:-1]) | (strike[1:] != strike[:-1])
    rank = np.zeros(len(order), np.intp)
    rank[order[1:]] = np.cumsum(fresh)
    return rank


def naked_shorts(legs: Legs, leaves: Leaves, rank: Places) -> Floats:
    """Return the uncovered short quantity of each leaf, (leaf,), >= 0.

    rank  (instrument,) from `strike_ranks`

    A call and a put at one strike cover each other, other strikes never do: a rung counts
    max(0, -(call + put)), which is |short| - min(|short|, long) for opposite signs, the sum of
    both for two shorts and nothing for two longs.
    """
    if not len(legs.account):
        return np.zeros(0)
    key = legs.account * (int(rank.max()) + 1) + rank[legs.instrument]
    leaf, quantity = leaves.of_leg, legs.quantity
    if np.any(key[1:] < key[:-1]):  # never in the canonical order; only then the sort is paid
        order = np.argsort(key, kind="stable")
        key, leaf, quantity = key[order], leaf[order], quantity[order]
    fresh = np.concatenate(([True], key[1:] != key[:-1]))
    rung = sums(np.cumsum(fresh) - 1, quantity, int(np.count_nonzero(fresh)))
    return sums(leaf[fresh], np.maximum(0.0, -rung), len(leaves.account))
