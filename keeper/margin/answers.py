"""What a human asks of a margin: by underlying, by leg, how far to the line, what closing would do.

Generic over `keeper.margin.book.Method`; no method's inside is looked at. Everything is a
question about whole books asked again of smaller, moved or reduced ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from keeper.margin.book import Book, Flags, Floats, Ints, Kind, Market, Method, Result
from keeper.margin.errors import BadNumber, within
from keeper.margin.netting import held_legs, sums


SCAN: Final = 80  # moves tried on each side before the bisection
BISECTIONS: Final = 48
FURTHEST: Final = {"up": 4.0, "down": -0.95, "vol": 3.0}


@dataclass(frozen=True, slots=True)
class LegShare:
    """One leg of an account, USD.

    alone     what it would need as an account of its own
    released  by how much the account's maintenance margin falls without it; may be negative
    """

    instrument: int
    quantity: float
    alone: float
    released: float


@dataclass(frozen=True, slots=True)
class Distance:
    """The smallest relative moves that breach; None where none inside the reach does.

    A breach already there is a move of 0.0. Found on a scan of 80 steps, then bisected: an island
    of breach narrower than a step may be missed.
    """

    spot_up: float | None
    spot_down: float | None
    vol_up: float | None
    vol_down: float | None


@dataclass(frozen=True, slots=True)
class Closing:
    """One account before and after a part of a leg is closed at mark, USD."""

    excess_before: float
    excess_after: float
    mm_before: float
    mm_after: float


def one_account(book: Book, account: int) -> Book:
    """Return a book of one account."""
    _inside("account", account, book.accounts)
    low, high = int(book.start[account]), int(book.start[account + 1])
    return Book(
        np.array([0, high - low], np.int64),
        book.instrument[low:high],
        book.quantity[low:high],
        book.cash[account : account + 1],
        book.carried[account : account + 1],
    )


def net_greeks(method: Method, book: Book, market: Market) -> Floats:
    """Return delta (coins), gamma, vega, theta, (account, underlying, 4)."""
    width = len(market.spot)
    account = np.repeat(np.arange(book.accounts), np.diff(book.start))
    key = account * width + market.listing.underlying[book.instrument]
    order = np.argsort(key, kind="stable")
    counts = np.bincount(key, minlength=book.accounts * width)
    nothing = np.zeros(book.accounts * width)
    by_coin = Book(
        np.concatenate(([0], np.cumsum(counts))),
        book.instrument[order],
        book.quantity[order],
        nothing,
        nothing,
    )
    return method.greeks(by_coin, market).reshape(book.accounts, width, 4)


def ladder(method: Method, book: Book, market: Market, account: int) -> Floats:
    """Return one account's stressed P&L, (scenario + 1,); the last is the add-on scenario."""
    row: Floats = method.ladder(one_account(book, account), market)[0]
    return row


def contributions(method: Method, book: Book, market: Market, account: int) -> tuple[LegShare, ...]:
    """Return what each leg of an account asks for, alone and together, in the book's order."""
    whole = one_account(book, account)
    legs = held_legs(whole, 0, 1)
    count = len(legs.instrument)
    mm = float(method.require(whole, market).mm[0])
    alone = method.require(_each_leg(whole), market)
    shares = []
    for row in range(count):
        rest = np.arange(count) != row
        without = replace(
            whole,
            start=np.array([0, count - 1], np.int64),
            instrument=legs.instrument[rest].astype(np.int32),
            quantity=legs.quantity[rest],
        )
        shares.append(
            LegShare(
                int(legs.instrument[row]),
                float(legs.quantity[row]),
                float(alone.mm[row]),
                mm - float(method.require(without, market).mm[0]),
            )
        )
    return tuple(shares)


def isolated(method: Method, book: Book, market: Market) -> Floats:
    """Return the maintenance margin with every leg on its own, (account,): no netting at all."""
    total = np.zeros(book.accounts)
    for account in range(book.accounts):
        alone = method.require(_each_leg(one_account(book, account)), market)
        total[account] = sums(np.zeros(len(alone.mm), np.intp), alone.mm, 1)[0]
    return total


def side_by_side(
    methods: tuple[Method, ...], book: Book, market: Market
) -> dict[str, tuple[Result, Floats]]:
    """Return each method's requirement of one book, netted and isolated."""
    return {
        each.name: (each.require(book, market), isolated(each, book, market)) for each in methods
    }


def liquidation_distance(
    method: Method, book: Book, market: Market, account: int, moving: Flags | None = None
) -> Distance:
    """Return how far one account is from the line; see `moved` for what moves with spot."""
    one = one_account(book, account)

    def excess(spot: float, vol: float) -> float:
        there = method.require(*moved(one, market, spot, vol, moving))
        if not there.defined[0]:
            return float("-inf")  # what has no number is not safe
        return float(there.excess[0])

    return Distance(
        spot_up=_first(lambda x: excess(x, 0.0), FURTHEST["up"]),
        spot_down=_first(lambda x: excess(x, 0.0), FURTHEST["down"]),
        vol_up=_first(lambda x: excess(0.0, x), FURTHEST["vol"]),
        vol_down=_first(lambda x: excess(0.0, x), FURTHEST["down"]),
    )


def moved(
    book: Book, market: Market, spot: float, vol: float, moving: Flags | None = None
) -> tuple[Book, Market]:
    """Return book and market after relative moves of all spots and all vols.

    Forwards' moving parts and perpetuals follow spot; the profit of perpetuals and futures lands
    in `carried`. moving: which BASE instruments follow too, (instrument,); all by default.
    Inverse contracts are taken as linear here.
    """
    listing, factor = market.listing, 1.0 + within("spot move", spot, -0.999_999, 1e6)
    follows = listing.kind == Kind.BASE if moving is None else moving
    after = replace(
        market,
        spot=market.spot * factor,
        perp_price=market.perp_price * factor,
        forward_variable=market.forward_variable * factor,
        price=np.where(follows, market.price * factor, market.price),
        vol=market.vol * (1.0 + within("vol move", vol, -1.0, 1e6)),
    )
    unit = np.zeros(len(listing.kind))
    perpetual, dated = listing.kind == Kind.PERPETUAL, listing.kind == Kind.FUTURE
    unit[perpetual] = market.perp_price[listing.underlying][perpetual] * spot
    unit[dated] = market.forward_variable[listing.expiry[dated]] * spot
    legs = held_legs(book, 0, book.accounts)
    gain = sums(legs.account, legs.quantity * unit[legs.instrument], book.accounts)
    return replace(book, carried=book.carried + gain), after


def closing(
    method: Method, book: Book, market: Market, account: int, leg: tuple[int, float]
) -> Closing:
    """Return the effect of closing (instrument, fraction 0..1) at mark: equity stays as it is."""
    instrument, fraction = leg[0], within("fraction", leg[1], 0.0, 1.0)
    one = one_account(book, account)
    place = np.flatnonzero(one.instrument == instrument)
    if not len(place):
        raise BadNumber("instrument", instrument, "name one the account holds")
    quantity = one.quantity.copy()
    quantity[place] *= 1.0 - fraction
    before = method.require(one, market)
    bare = method.require(replace(one, quantity=quantity), market)
    after = bare.with_cash(before.equity - bare.equity)
    return Closing(
        float(before.excess[0]), float(after.excess[0]), float(before.mm[0]), float(after.mm[0])
    )


def grid(
    method: Method, book: Book, market: Market, spots: Floats, vols: Floats
) -> tuple[Floats, Floats]:
    """Return (excess, equity) of every account after each move, (spot, vol, account)."""
    excess = np.zeros((len(spots), len(vols), book.accounts))
    equity = np.zeros_like(excess)
    for row, spot in enumerate(spots):
        for column, vol in enumerate(vols):
            there = method.require(*moved(book, market, float(spot), float(vol)))
            excess[row, column], equity[row, column] = there.excess, there.equity
    return excess, equity


def _each_leg(one: Book) -> Book:
    """Return one account for each leg of a single account, without cash."""
    legs = held_legs(one, 0, 1)
    count = len(legs.instrument)
    start: Ints = np.arange(count + 1, dtype=np.int64)
    nothing = np.zeros(count)
    return Book(start, legs.instrument.astype(np.int32), legs.quantity, nothing, nothing)


def _first(excess: Callable[[float], float], furthest: float) -> float | None:
    """Return the smallest move of one sign that breaches."""
    if excess(0.0) < 0.0:
        return 0.0
    safe = 0.0
    for step in range(1, SCAN + 1):
        tried = furthest * (step / SCAN) ** 2  # closer together where it matters
        if excess(tried) < 0.0:
            break
        safe = tried
    else:
        return None
    breach = tried
    for _ in range(BISECTIONS):
        middle = 0.5 * (safe + breach)
        if excess(middle) < 0.0:
            breach = middle
        else:
            safe = middle
    return breach


def _inside(field: str, value: int, count: int) -> None:
    if not 0 <= value < count:
        raise BadNumber(field, value, f"pass 0 to {count - 1}")
