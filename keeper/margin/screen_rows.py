"""What the screen asks of rows: whether they are the same, and what their gross can lose.

By the compiled kernel, by numpy where there is none; both give the same answers. Must not know
methods.
"""

import numpy as np

from keeper.margin.book import Book, Flags, Floats, Ints, Market
from keeper.margin.kernel.front import THREADS, compiled, rows_of, share
from keeper.margin.kernel.shapes import Asked, Found
from keeper.margin.netting import Places, sums


def differing(before: Book, now: Book, threads: int = THREADS) -> Flags:
    """Return whose rows are not those of before, (account,); as many accounts in both."""
    loop, found = compiled().differing, np.zeros(now.accounts, np.bool_)
    old, new = rows_of(before), rows_of(now)
    if threads and loop is not None and old is not None and new is not None:
        arguments = (old, new, Found(found.view(np.uint8)))
        if share(loop, now.accounts, arguments, threads):
            return found
    if np.array_equal(before.start, now.start):
        unlike = before.instrument != now.instrument
        unlike |= before.quantity != now.quantity
        rows = np.flatnonzero(unlike)
        found[np.searchsorted(now.start, rows, side="right") - 1] = True
        return found
    count = np.diff(now.start)
    found[:] = np.diff(before.start) != count
    account = np.repeat(np.arange(now.accounts), count)
    same = ~found[account]
    rows = np.flatnonzero(same)
    earlier = rows + (before.start[:-1] - now.start[:-1])[account[rows]]
    unlike = before.instrument[earlier] != now.instrument[rows]
    unlike |= before.quantity[earlier] != now.quantity[rows]
    found[account[rows[unlike]]] = True
    return found


def same_listing(one: Market, other: Market) -> bool:
    """Return whether both markets list the same instruments in the same rows."""
    first, second = one.listing, other.listing
    if first is second:
        return True
    columns = ("kind", "underlying", "expiry", "strike")
    pairs = [(getattr(first, name), getattr(second, name)) for name in columns]
    return all(np.array_equal(left, right) for left, right in pairs)


def gross_fall(book: Book, accounts: Places, fall: Floats, threads: int = THREADS) -> Floats:
    """Return the sum of |quantity| x fall (instrument,) of some accounts, USD, (account,)."""
    loop, found = compiled().falls, np.zeros(len(accounts))
    rows = rows_of(book)
    if threads and loop is not None and rows is not None:
        asked = Asked(len(fall), accounts.astype(np.int64), fall, found)
        if share(loop, len(accounts), (rows, asked), threads):
            return found
    few = take(book, accounts)
    owner = np.repeat(np.arange(len(accounts)), np.diff(few.start))
    with np.errstate(invalid="ignore"):
        return sums(owner, np.abs(few.quantity) * fall[few.instrument], len(accounts))


def take(book: Book, accounts: Places) -> Book:
    """Return the book of these accounts alone, in this order."""
    rows, start = rows_at(book, accounts)
    return Book(
        start=start,
        instrument=book.instrument[rows],
        quantity=book.quantity[rows],
        cash=book.cash[accounts],
        carried=book.carried[accounts],
    )


def rows_at(book: Book, accounts: Places) -> tuple[Places, Ints]:
    """Return the rows of these accounts one after another, and where each account's begin."""
    first = book.start[accounts]
    count = book.start[accounts + 1] - first
    start = np.zeros(len(accounts) + 1, np.int64)
    np.cumsum(count, out=start[1:])
    return np.arange(start[-1]) + np.repeat(first - start[:-1], count), start
