"""The screen: a hunt for a breach it misses, and for any figure a full recompute would not give."""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.margin.book import Book, Floats, Kind, Market, Result
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.margin.screen import Screen, Screening
from keeper.margin.screen_rows import differing
from tests.property.margin_markets import World, worlds


fixed = settings(max_examples=80, deadline=None, derandomize=True, database=None)
COPIES = 12  # of each account, at different distances from the line


class Loose(Pmrm2):
    """A planted fault: the bound is a third of what it must be."""

    def fall(self, then, now):  # type: ignore[no-untyped-def]
        found = super().fall(then, now)
        return None if found is None else (found[0] / 3.0, found[1])


@dataclass(frozen=True)
class Step:
    """What a hunt's next block brings."""

    market: Market
    book: Book
    extra: Floats


def near_line(world: World, rng: np.random.Generator) -> Book:
    """Return many copies of each account, with cash that leaves them just above the line."""
    book = world.book
    rows = [np.arange(book.start[a], book.start[a + 1]) for a in range(book.accounts)] * COPIES
    at = np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)
    many = Book(
        start=np.cumsum([0, *(len(each) for each in rows)]).astype(np.int64),
        instrument=book.instrument[at],
        quantity=book.quantity[at],
        cash=np.tile(book.cash, COPIES),
        carried=np.tile(book.carried, COPIES),
    )
    result = world.method.require(many, world.market)
    distance = np.exp(rng.uniform(-12, 0, many.accounts)) * np.maximum(result.gross, 1.0)
    cash = np.where(result.defined, many.cash - result.excess + distance, many.cash)
    return replace(many, cash=cash)


def next_step(world: World, step: Step, rng: np.random.Generator) -> Step:
    """Return a block later: a move of any size, some positions and cash changed."""
    market, book = step.market, step.book
    size = float(rng.choice([1e-5, 1e-3, 0.02, 0.3]))
    up = 1.0 + size * float(rng.uniform(-1, 1))

    def jolted(values: Floats) -> Floats:
        some = rng.random(len(values)) < rng.choice([0.0, 0.2, 1.0])
        moved: Floats = values * np.where(some, 1.0 + size * rng.uniform(-1, 1, len(values)), 1.0)
        return moved

    later = replace(
        market,
        spot=market.spot * up,
        perp_price=jolted(market.perp_price * up),
        forward_variable=jolted(market.forward_variable * up),
        forward_fixed=jolted(market.forward_fixed),
        rate=jolted(market.rate),
        seconds=np.maximum(market.seconds - float(rng.choice([0.0, 12.0, 3600.0])), 0.0),
        vol=jolted(market.vol),
        price=jolted(market.price),
        stable=market.stable * (1.0 + 0.01 * size * float(rng.uniform(-1, 1))),
        usable=market.usable & (rng.random(len(market.usable)) < rng.choice([1.0, 1.0, 0.95])),
    )
    quantity, cash = book.quantity.copy(), book.cash.copy()
    changed = rng.random(len(quantity)) < rng.choice([0.0, 0.0, 0.05])
    quantity[changed] *= np.exp(rng.normal(0, 0.3, int(changed.sum())))
    cash -= np.where(rng.random(len(cash)) < 0.1, np.abs(cash) * size, 0.0)
    carried = book.carried + size * rng.normal(0, 1, len(cash))
    extra = -np.abs(rng.normal(0, size, len(cash)))
    return Step(later, replace(book, quantity=quantity, cash=cash, carried=carried), extra)


def missed(found: Screening, full: Result, extra: Floats) -> list[str]:
    """Return how a screening differs from a full recompute in what decisions rest on."""
    faults = []
    got, want = found.result.excess + extra, full.excess + extra
    if (found.result.defined != full.defined).any():
        faults.append("defined")
    breach = full.defined & (want < 0.0)
    if ((found.result.defined & (got < 0.0)) != breach).any():
        faults.append("breach")
    told = breach | found.exact
    faults += [
        name
        for name in ("equity", "mm", "im", "worst", "gross")
        if (getattr(found.result, name) != getattr(full, name))[told].any()
    ]
    if full.defined.any() and got[full.defined].min() != want[full.defined].min():
        faults.append("least")
    return faults


def hunt(world: World, method: Pmrm2, seed: int, share_max: float) -> tuple[list[str], int]:
    """Return the faults of five blocks in a row, and how many accounts were cleared."""
    rng = np.random.default_rng(seed)
    book = near_line(world, rng)
    step = Step(world.market, book, np.zeros(book.accounts))
    screen, faults, cleared = Screen(share_max), [], 0
    seen = book
    for turn in range(6):  # every other block the caller names who changed
        named = np.flatnonzero(differing(seen, step.book)) if turn % 2 else None
        found = screen.require(method, step.book, step.market, step.extra, named)
        seen = step.book
        faults += missed(found, method.require(step.book, step.market), step.extra)
        cleared += book.accounts - found.computed
        step = next_step(world, step, rng)
    return faults, cleared


@fixed
@given(worlds(), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 1.0]))
def test_no_breach_is_missed(world: World, seed: int, share_max: float) -> None:
    assert hunt(world, Pmrm2(world.method.parameters), seed, share_max)[0] == []


@fixed
@given(worlds(), st.integers(0, 2**32 - 1))
def test_no_breach_is_missed_without_the_kernel(world: World, seed: int) -> None:
    assert hunt(world, Pmrm2(world.method.parameters, threads=0), seed, 1.0)[0] == []


def lone(world: World) -> Book:
    """Return one account long and one short of each instrument: there the bound is tight."""
    kind = world.market.listing.kind
    held = np.repeat(np.arange(len(kind)), 2).astype(np.int32)
    side = np.tile([1.0, -1.0], len(kind))
    side = np.where(kind[held] == Kind.BASE, 1.0, side)
    nothing = np.zeros(len(held))
    start = np.arange(len(held) + 1, dtype=np.int64)
    return Book(start, held, side, nothing, nothing)


def aimed(world: World, method: Pmrm2, seed: int) -> tuple[list[str], int]:
    """Return the faults of one move after which everybody it hurts is just in breach.

    The cash of each account leaves it above the line by a share of what the move will take. Second:
    how many were cleared.
    """
    rng = np.random.default_rng(seed)
    book = lone(world)
    now = next_step(world, Step(world.market, book, np.zeros(book.accounts)), rng).market
    before = method.require(book, world.market).excess
    fall = before - method.require(book, now).excess
    spare = np.where(fall > 0.0, fall * rng.uniform(0.6, 0.999, len(fall)), np.abs(fall) + 1.0)
    book = replace(book, cash=book.cash - before + spare)
    screen, nothing = Screen(1.0), np.zeros(book.accounts)
    screen.require(method, book, world.market)
    found = screen.require(method, book, now)
    faults = missed(found, method.require(book, now), nothing)
    return faults, book.accounts - found.computed


@fixed
@given(worlds(), st.integers(0, 2**32 - 1))
def test_no_breach_is_missed_where_every_account_was_aimed_at(world: World, seed: int) -> None:
    assert aimed(world, Pmrm2(world.method.parameters), seed)[0] == []


def test_a_planted_loose_bound_is_found_and_the_hunt_is_no_formality() -> None:
    found: list[list[str]] = []
    clears: list[int] = []

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(worlds(), st.integers(0, 2**32 - 1))
    def run(world: World, seed: int) -> None:
        found.append(aimed(world, Loose(world.method.parameters), seed)[0])
        clears.append(hunt(world, Pmrm2(world.method.parameters), seed, 1.0)[1])

    run()
    assert sum("breach" in faults for faults in found) >= 10
    assert sum(clears) > 1000


@fixed
@given(worlds(), st.integers(0, 2**32 - 1))
def test_whoever_holds_what_can_no_longer_be_valued_is_undefined(world: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    book = near_line(world, rng)
    screen, method = Screen(1.0), Pmrm2(world.method.parameters)
    screen.require(method, book, world.market)
    gone = world.market.listing.kind == rng.choice([Kind.CALL, Kind.PERPETUAL, Kind.BASE])
    market = replace(world.market, usable=world.market.usable & ~gone)
    found, full = screen.require(method, book, market), method.require(book, market)
    assert (found.result.defined == full.defined).all()
