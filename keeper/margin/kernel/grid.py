"""The forward grid: every account's excess and equity over joint moves of spot and volatility.

Each cell of the grid is a market of its own, computed in full (no interpolation) and independent of
the others, so threads share cells out; a method that can takes the volatilities of one spot
together. A view of risk, not a decision. Must not know accounts.
"""

from collections.abc import Iterator
from dataclasses import replace
from threading import Thread
from typing import Final, Protocol, runtime_checkable

import numpy as np

from keeper.margin.book import Book, Floats, Kind, Market, Result
from keeper.margin.kernel.front import THREADS
from keeper.margin.kernel.shapes import View
from keeper.margin.netting import sums


TOGETHER: Final = 12  # volatilities of one spot at once: their ladders stay near the cache


class Requiring(Protocol):
    """What the grid asks of a method, from several threads at once."""

    def require(self, book: Book, market: Market) -> Result:
        """Return every account's requirement."""


class Viewing(Protocol):
    """A book laid out by a method for many moves of one market."""

    def view(self, spot: Market, vols: Floats, carried: Floats, out: View) -> bool:
        """Fill the answers of moved volatilities at a market of moved spot; False: could not."""


@runtime_checkable
class Laying(Protocol):
    """A method that can lay a book out; its figures are those of `require`, to the bit."""

    def cells(self, book: Book, market: Market) -> Viewing | None:
        """Return the book laid out, None where cells have to be computed one by one."""


def forward_grid(
    method: Requiring,
    book: Book,
    market: Market,
    moves: tuple[Floats, Floats],
    beta: Floats,
    threads: int = THREADS,
) -> tuple[Floats, Floats]:
    """Return (excess, equity), USD, (spot move, vol move, account); 0.0 where undefined.

    moves  relative moves of spot and of volatility, (spot move,) and (vol move,); 0.0 = none
    beta   (instrument,) how much of spot's move a BASE price follows: 1.0 for the underlying
    """
    spots, vols = moves
    shape = len(spots), len(vols), book.accounts
    excess, equity = np.zeros(shape), np.zeros(shape)
    perpetual = _perpetual_value(book, market)
    laid = method.cells(book, market) if isinstance(method, Laying) else None
    pieces = _pieces(len(spots), len(vols))

    def work() -> None:
        for row, here in pieces:
            spot = float(spots[row])
            carried = book.carried + perpetual * spot
            out = View(excess[row, here].reshape(-1), equity[row, here].reshape(-1))
            up = moved(market, beta, spot, 0.0)
            if laid is not None and laid.view(up, vols[here], carried, out):
                continue
            for column in range(here.start, here.stop):
                cell = moved(market, beta, spot, float(vols[column]))
                result = method.require(replace(book, carried=carried), cell)
                equity[row, column] = result.equity
                np.subtract(result.equity, result.mm, out=excess[row, column])

    others = [Thread(target=work) for _ in range(threads - 1)]
    for other in others:
        other.start()
    work()
    for other in others:
        other.join()
    return excess, equity


def moved(market: Market, beta: Floats, spot: float, vol: float) -> Market:
    """Return the market after relative moves; the settled part of a forward stays."""
    up = 1.0 + spot
    return replace(
        market,
        forward_variable=market.forward_variable * up,
        spot=market.spot * up,
        perp_price=market.perp_price * up,
        price=market.price * (1.0 + beta * spot),
        vol=market.vol * (1.0 + vol),
    )


def _pieces(spots: int, vols: int) -> Iterator[tuple[int, slice]]:
    """Return (row, columns) of the grid until all are handed out; threads draw from one of it."""
    columns = [slice(at, min(at + TOGETHER, vols)) for at in range(0, vols, TOGETHER)]
    return iter([(row, here) for row in range(spots) for here in columns])


def _perpetual_value(book: Book, market: Market) -> Floats:
    """Return USD of perpetuals held, signed, (account,): what a relative move gains on them."""
    listing = market.listing
    price = np.where(listing.kind == Kind.PERPETUAL, market.perp_price[listing.underlying], 0.0)
    owner = np.repeat(np.arange(book.accounts), np.diff(book.start))
    return sums(owner, book.quantity * price[book.instrument], book.accounts)
