"""The forward grid: every account's excess and equity over joint moves of spot and volatility.

Each cell of the grid is a market of its own, computed in full (no interpolation) and independent of
the others, so threads share cells out. A view of risk, not a decision. Must not know accounts.
"""

from dataclasses import replace
from threading import Thread
from typing import Protocol

import numpy as np

from keeper.margin.book import Book, Floats, Kind, Market, Result
from keeper.margin.kernel import THREADS
from keeper.margin.netting import sums


class Requiring(Protocol):
    """What the grid asks of a method, from several threads at once."""

    def require(self, book: Book, market: Market) -> Result:
        """Return every account's requirement."""


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
    cells = iter(np.ndindex(shape[:2]))
    perpetual = _perpetual_value(book, market)

    def work() -> None:
        for row, column in cells:
            spot, vol = float(spots[row]), float(vols[column])
            carried = replace(book, carried=book.carried + perpetual * spot)
            result = method.require(carried, moved(market, beta, spot, vol))
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


def _perpetual_value(book: Book, market: Market) -> Floats:
    """Return USD of perpetuals held, signed, (account,): what a relative move gains on them."""
    listing = market.listing
    price = np.where(listing.kind == Kind.PERPETUAL, market.perp_price[listing.underlying], 0.0)
    owner = np.repeat(np.arange(book.accounts), np.diff(book.start))
    return sums(owner, book.quantity * price[book.instrument], book.accounts)
